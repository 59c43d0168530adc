"""TLS records and messages of any kind: parsers never raise, and a stream may be split anywhere."""

from __future__ import annotations

from functools import cache

from hypothesis import example, given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.conversation import Direction, Event, Kind, Role
from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.tls.certificates import details_of
from emailsys.wiretap.tls.chain import validate
from emailsys.wiretap.tls.client_hello import Offer, client_hello
from emailsys.wiretap.tls.flight import parse_certificates, parse_key_exchange, parse_protocol
from emailsys.wiretap.tls.hello import parse_client_hello, parse_server_hello
from emailsys.wiretap.tls.names import SSL3, TLS10, TLS12, TLS13
from emailsys.wiretap.tls.observer import TLSObserver
from emailsys.wiretap.tls.records import MessageReader, RecordReader
from tests.fakes.net.tls_pair import NOW, Issued, Pair, issue, server_context


@cache
def certificate() -> Issued:
    """A certificate with all that the parser reads."""
    return issue("mx.example.test", names=("mx.example.test", "*.example.test"))


@cache
def recording() -> tuple[list[tuple[Direction, bytes]], list[str]]:
    """The octets of a handshake of TLS 1.2 as the client saw them, and the events."""
    client = SSL.Context(SSL.TLS_METHOD)
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    pair = Pair(client, server_context(issue("mx.example.test"))).shake_hands()
    wire = [(Direction.OUT if role is Role.CLIENT else Direction.IN, octets) for role, octets in pair.wire]
    return wire, pair.names(Role.CLIENT)


class TLSWireTests(SynchronousTestCase):
    """What a peer sends is never trusted."""

    @given(st.lists(st.tuples(st.sampled_from(Direction), st.binary(max_size=80)), max_size=10))
    def test_random_octets(self, pieces: list[tuple[Direction, bytes]]) -> None:
        """Nothing raises."""
        observer = TLSObserver(Role.SERVER)
        for direction, octets in pieces:
            observer.feed(direction, octets, 0.0)
        observer.established(1.0)
        observer.finish()

    @given(
        st.lists(
            st.tuples(st.sampled_from(Direction), st.sampled_from([20, 21, 22, 23, 24]), st.binary(max_size=60)),
            max_size=12,
        )
    )
    def test_random_records(self, records: list[tuple[Direction, int, bytes]]) -> None:
        """Well-formed records with anything in them; every text can be shown."""
        observer = TLSObserver(Role.CLIENT)
        found: list[Event] = []
        for direction, kind, body in records:
            found += observer.feed(direction, bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body, 0.0)
        found += observer.finish()
        self.assertTrue(all(event.text.isprintable() for event in found))

    @given(st.binary(max_size=200), st.sampled_from([0x0301, 0x0303, 0x0304]), st.sampled_from([0xC02F, 0x9E, 0x2F]))
    def test_random_messages(self, body: bytes, version: int, suite: int) -> None:
        """Each parser by itself."""
        for hello in (parse_client_hello(body), parse_server_hello(body)):
            if hello is not None:
                hello.details()
        parse_key_exchange(body, version, suite)
        parse_protocol(body)
        details_of(body)
        validate(parse_certificates(body, version), "mx", NOW, Anchors())

    @given(st.data())
    def test_damaged_handshake(self, data: st.DataObject) -> None:
        """A real handshake with some octets changed, cut or repeated."""
        observer = TLSObserver(Role.CLIENT)
        for direction, octets in recording()[0]:
            damaged = bytearray(octets)
            for at in data.draw(st.lists(st.integers(0, len(octets) - 1), max_size=3)):
                damaged[at] = data.draw(st.integers(0, 255))
            observer.feed(
                direction, bytes(damaged[: data.draw(st.integers(0, len(octets)) | st.just(len(octets)))]), 0.0
            )
        observer.handshake.details()
        observer.finish()

    @given(
        st.sampled_from([SSL3, TLS10, TLS12, TLS13]),
        st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=400).map(tuple),
        st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=50).map(tuple),
    )
    def test_hello_written_and_read(self, version: int, suites: tuple[int, ...], groups: tuple[int, ...]) -> None:
        """What a probe offers is what a server reads."""
        octets = client_hello(Offer(version, suites, groups, (29,), server_name="mx.example.test"))
        [message] = [found for record in RecordReader().feed(octets) for found in MessageReader().feed(record.body)]
        hello = parse_client_hello(message.body)
        assert hello is not None
        self.assertEqual(hello.suites[: len(suites)], suites)
        if version > SSL3:
            self.assertEqual((hello.groups, hello.server_name), (groups, "mx.example.test"))
        if version == TLS13:
            self.assertEqual((hello.versions, hello.key_shares), ((TLS13,), (29,)))
        else:
            self.assertEqual((hello.version, hello.versions), (version, ()))

    @given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
    @example([(12, 9)])
    def test_damaged_certificate(self, changes: list[tuple[int, int]]) -> None:
        """A certificate with some octets changed: its version, a name, a key. Every text can be shown."""
        damaged = bytearray(certificate().der)
        for at, octet in changes:
            damaged[at % len(damaged)] = octet
        details_of(bytes(damaged))
        for step in validate([bytes(damaged)], "mx.example.test", NOW, Anchors()).steps:
            self.assertTrue((step.text + step.about).isprintable())

    @given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
    def test_any_split(self, sizes: list[int]) -> None:
        """However the octets arrive, the events are the same."""
        wire, names = recording()
        observer = TLSObserver(Role.CLIENT)
        found: list[Event] = []
        for direction, octets in wire:
            at = turn = 0
            while at < len(octets):
                size = sizes[turn % len(sizes)]
                found += observer.feed(direction, octets[at : at + size], 0.0)
                at, turn = at + size, turn + 1
        self.assertEqual([event.text for event in found], names)
        self.assertEqual([event.kind for event in found].count(Kind.SECURED), 1)
