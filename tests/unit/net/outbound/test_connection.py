"""Outbound bodies: in pieces, in chunks, truncated, refused, and read from a slow store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import StoreDamaged
from emailsys.mail.reply import LEASE_UNCERTAIN
from emailsys.mail.transmission import Outcome, OutcomeKind
from tests.fakes.net.memory_hosts import (
    BODY,
    CHUNKING,
    HOST,
    MemoryHosts,
    MemoryServer,
    greet,
    pieces_of,
    take,
    transmission,
)


class BodyTests(SynchronousTestCase):
    """One connection of a ConnectionPool over a reactor in memory."""

    def setUp(self) -> None:
        self.hosts = MemoryHosts()

    def outcomes(self, sent: Deferred[Sequence[Outcome]]) -> list[tuple[OutcomeKind, int]]:
        """What was decided by now."""
        return [(outcome.kind, outcome.reply.code) for outcome in self.successResultOf(sent)]

    def choked(self) -> tuple[Deferred[Sequence[Outcome]], MemoryServer]:
        """A body of three pieces under way to a host that has said 354 and reads no more."""
        sent = self.hosts.send(transmission(pieces=pieces_of(b"a", b"b", b"c")))
        server = self.hosts.connect()
        greet(server)
        server.producer.pauseProducing()
        server.reply("250 ok", "250 ok", "354 go")
        return sent, server

    def test_a_large_body_is_sent_piece_by_piece_as_the_host_reads(self) -> None:
        """While the transport is full nothing more is asked of the store."""
        asked: list[int] = []

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(5):
                asked.append(number)
                yield b"%d\r\n." % number

        sent = self.hosts.send(transmission(pieces=pieces))
        server = self.hosts.connect()
        greet(server)
        server.heard()
        producer = server.producer
        producer.pauseProducing()
        server.reply("250 ok", "250 ok", "354 go")
        self.assertEqual(asked, [0, 1])
        producer.resumeProducing()
        self.assertEqual(server.heard(), b"0\r\n..1\r\n..2\r\n..3\r\n..4\r\n..\r\n.\r\n")
        server.reply("250 ok")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELIVERED, 250)])

    def test_a_body_is_read_from_a_store_that_answers_later(self) -> None:
        """Each piece is what a Deferred of the store brings."""
        asked: list[Deferred[bytes]] = []

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                answer: Deferred[bytes] = Deferred()
                asked.append(answer)
                yield await answer

        sent = self.hosts.send(transmission(pieces=pieces))
        server = self.hosts.connect()
        greet(server)
        for number in range(2):
            asked[number].callback(b"%d\r\n" % number)
        self.assertIn(b"DATA", server.heard())
        server.reply("250 ok", "250 ok", "354 go")
        asked[2].callback(b"2\r\n")
        self.assertEqual(server.heard(), b"0\r\n1\r\n2\r\n.\r\n")
        server.reply("250 ok")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELIVERED, 250)])

    def test_a_host_that_reads_no_more_of_the_body_is_left_after_three_minutes(self) -> None:
        """RFC 5321 §4.5.3.2.5; there is no doubt, for the end was not sent."""
        sent, server = self.choked()
        self.hosts.reactor.advance(170)
        server.producer.resumeProducing()
        server.settle()
        self.hosts.reactor.advance(11)
        self.assertNoResult(sent)

    def test_a_choked_connection_times_out(self) -> None:
        """The other branch: it never reads again."""
        sent, server = self.choked()
        self.hosts.reactor.advance(181)
        server.settle()
        [outcome] = self.successResultOf(sent)
        self.assertEqual(outcome.reply.text, f"{HOST}: the host does not read the message within 180 s")
        self.assertFalse(outcome.in_doubt)
        self.assertTrue(server.transport.aborted)

    def test_a_body_that_is_read_ahead_while_its_connection_goes_is_read_anew(self) -> None:
        """The late answer of the store does not get into the second reading."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=1))
        readings: list[Deferred[bytes]] = []

        async def pieces() -> AsyncIterator[bytes]:
            reading: Deferred[bytes] = Deferred()
            readings.append(reading)
            yield await reading

        first = self.hosts.send(transmission())
        second = self.hosts.send(transmission(pieces=pieces))
        server = self.hosts.connect()
        greet(server)
        self.assertEqual(take(server), b"")
        self.assertEqual(self.outcomes(first), [(OutcomeKind.DELIVERED, 250)])
        server.lose(error.ConnectionDone())
        again = self.hosts.connect()
        greet(again)
        self.assertEqual(len(readings), 2)
        readings[0].callback(b"old\r\n")
        self.assertEqual(again.heard(), b"")
        readings[1].callback(b"new\r\n")
        again.heard()
        again.reply("250 ok", "250 ok", "354 go")
        self.assertEqual(again.heard(), b"new\r\n.\r\n")
        again.reply("250 ok")
        self.assertEqual(self.outcomes(second), [(OutcomeKind.DELIVERED, 250)])

    def test_a_body_that_cannot_be_read_to_its_end_is_never_ended_by_a_dot(self) -> None:
        """Half a message would be delivered."""
        sent = self.hosts.send(transmission(pieces=pieces_of(b"a", b"b", b"c", fail=OSError("disk"))))
        server = self.hosts.connect()
        greet(server)
        server.heard()
        server.reply("250 ok", "250 ok", "354 go")
        self.assertNotIn(b"\r\n.\r\n", server.heard())
        self.assertTrue(server.transport.aborted)
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELAYED, 451)])

    def test_a_message_found_damaged_on_its_way_is_never_ended_and_waits_for_an_operator(self) -> None:
        """Neither by a dot nor by BDAT LAST; who was refused stays refused, and no other host is asked."""
        for extensions, replies in (
            ((), ("250 ok", "250 ok", "550 no", "354 go")),
            (CHUNKING, ("250 ok", "250 ok", "550 no")),
        ):
            pieces = pieces_of(b"a", b"b", b"c", fail=StoreDamaged("piece 3"))
            sent = self.hosts.send(transmission("bob@example.net", "dave@example.net", pieces=pieces))
            server = self.hosts.connect()
            greet(server, *([extensions] if extensions else []))
            server.heard()
            server.reply(*replies)
            heard = server.heard()
            self.assertNotIn(b"\r\n.\r\n", heard)
            self.assertNotIn(b"LAST", heard)
            self.assertTrue(server.transport.aborted)
            held, refused = self.successResultOf(sent)
            self.assertEqual((held.hold, held.may_try_elsewhere, held.host_at_fault), (True, False, False))
            self.assertEqual((refused.kind, refused.hold), (OutcomeKind.FAILED, False))

    def test_a_message_found_damaged_at_once_asks_nothing_of_the_host(self) -> None:
        sent = self.hosts.send(transmission(pieces=pieces_of(fail=StoreDamaged("piece 0"))))
        server = self.hosts.connect()
        greet(server)
        self.assertEqual(server.heard(), b"")
        [held] = self.successResultOf(sent)
        self.assertTrue(held.hold)

    def test_a_body_that_cannot_be_read_at_all_asks_nothing_of_the_host(self) -> None:
        """The connection goes on with others."""
        sent = self.hosts.send(transmission(pieces=pieces_of(fail=OSError("disk"))))
        server = self.hosts.connect()
        greet(server)
        self.assertEqual(server.heard(), b"")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELAYED, 451)])

    def test_chunks_are_not_stuffed_and_an_empty_chunk_is_the_last(self) -> None:
        """RFC 3030 §4.2; a body of several pieces waits until somebody wants it."""
        sent = self.hosts.send(transmission(pieces=pieces_of(b".a\r\n", b".b\r\n", b"", b".c\r\n")))
        server = self.hosts.connect()
        greet(server, CHUNKING)
        self.assertNotIn(b"BDAT", server.heard())
        server.reply("250 ok", "250 ok")
        self.assertEqual(server.heard(), b"BDAT 4\r\n.a\r\nBDAT 4\r\n.b\r\nBDAT 4\r\n.c\r\nBDAT 0 LAST\r\n")
        server.reply("250 4", "250 4", "250 4", "250 taken")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELIVERED, 250)])

    def test_a_refused_chunk_ends_the_body(self) -> None:
        """The rest is not sent, and RSET comes before the next message."""
        sent = self.hosts.send(transmission(pieces=pieces_of(*[b"x" * 10] * 5)))
        server = self.hosts.connect()
        greet(server, CHUNKING)
        server.heard()
        server.producer.pauseProducing()
        server.reply("250 ok", "250 ok")
        self.assertEqual(server.heard(), b"BDAT 10\r\nxxxxxxxxxx")
        server.reply("552 5.3.4 too big")
        server.producer.resumeProducing()
        self.assertEqual(server.heard(), b"")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.FAILED, 552)])
        _ = self.hosts.send(transmission())
        self.assertTrue(server.heard().startswith(b"RSET\r\nMAIL FROM:"))

    def test_a_chunked_body_is_not_sent_if_all_recipients_were_refused(self) -> None:
        """All recipients were refused before it was wanted."""
        sent = self.hosts.send(transmission(pieces=pieces_of(b"a", b"b")))
        server = self.hosts.connect()
        greet(server, CHUNKING)
        server.heard()
        server.reply("250 ok", "550 no")
        self.assertEqual(server.heard(), b"")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.FAILED, 550)])

    def test_a_refusal_in_the_middle_of_the_body_decides(self) -> None:
        """Some hosts say 552 as soon as the message is too big, and close."""
        sent, server = self.choked()
        server.reply("552 5.3.4 too big")
        server.settle()
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.FAILED, 552)])
        self.assertTrue(server.lost)

    def test_a_host_that_closes_in_the_middle_of_the_body_delays(self) -> None:
        """Without doubt: it has not seen the end."""
        sent, server = self.choked()
        server.lose(error.ConnectionLost())
        [outcome] = self.successResultOf(sent)
        self.assertEqual((outcome.kind, outcome.in_doubt), (OutcomeKind.DELAYED, False))
        self.assertIn("while the message was sent", outcome.reply.text)

    def test_a_slow_reply_buys_no_time(self) -> None:
        """A line of a reply each minute does not keep a connection for ever."""
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        for _ in range(5):
            server.reply("220-wait")
            self.assertNoResult(sent)
            self.hosts.reactor.advance(61)
        self.successResultOf(sent)

    def test_octets_after_the_end_of_a_connection_are_ignored(self) -> None:
        """A host that goes on talking after we hung up."""
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        server.client.dataReceived(b"554 no\r\n")
        server.client.dataReceived(b"250 yes\r\n" * 1000)
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELAYED, 554)])

    def test_a_body_whose_lease_has_become_uncertain_is_not_ended(self) -> None:
        """Another node may be sending the message already. The host gets no final dot, and no BDAT of the end."""
        for chunking in (False, True):
            for pieces in ((b"a\r\n",), (b"a\r\n", b"b\r\n", b"c\r\n")):
                hosts, certain = MemoryHosts(), [True]
                message = replace(transmission(pieces=pieces_of(*pieces)), may_end=partial(all, certain))
                sent = hosts.send(message)
                server = hosts.connect()
                certain[0] = False
                greet(server, *([CHUNKING] if chunking else []))
                server.reply("250 ok", "250 ok", "354 go")
                heard = server.heard()
                self.assertNotIn(b"\r\n.\r\n", heard)
                self.assertNotIn(b"LAST", heard)
                [outcome] = self.successResultOf(sent)
                self.assertEqual((outcome.reply, outcome.cut_short), (LEASE_UNCERTAIN, True))

    def test_the_body_is_what_was_accepted(self) -> None:
        """Octets in are octets out."""
        _ = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        server.heard()
        server.reply("250 ok", "250 ok", "354 go")
        self.assertEqual(server.heard().replace(b"\r\n..", b"\r\n."), BODY + b".\r\n")
