"""Masking under attack: a secret occurs nowhere in the recorder, however and wherever a client sends it."""

from __future__ import annotations

import base64
import gc
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import SMTPSettings
from emailsys.mail.next_hop import HostLogin, NextHop, TLSPolicy
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from emailsys.wiretap.recorder import Recorder
from tests.fakes.net.memory_hosts import MemoryHosts, transmission
from tests.fakes.net.pop3_house import POP3House
from tests.fakes.net.smtp_house import SMTPHouse

SECRET = b"Tr0ub4dor-and-3"


def encoded(text: bytes) -> bytes:
    """In base64, as SASL sends it."""
    return base64.b64encode(text)


# The forms in which the secret is on the wire: itself, in base64, and as each response contains it.
FORMS = (
    SECRET,
    encoded(SECRET),
    encoded(b"\0alice@example.test\0" + SECRET),
    encoded(b"alice@example.test\0alice@example.test\0" + SECRET),
    encoded(b"user=alice\1auth=Bearer " + SECRET + b"\1\1"),
    encoded(b"alice " + SECRET.hex().encode()),
    SECRET.hex().encode(),
)
forms = st.sampled_from(FORMS)
verbs = st.sampled_from(
    [b"AUTH PLAIN", b"auth plain", b"AUTH LOGIN", b"AUTH", b"AUTH CRAM-MD5", b"AUTH SCRAM-SHA-256", b"AUTH XOAUTH2",
     b"AUTH =", b"PASS", b"pass", b"Pass ", b"PA", b"APOP alice", b"XPASSWORD x", b"XCLIENT", b"NOOP", b"QUIT",
     b"HELP", b"RSET", b"VRFY", b"EXPN", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"STARTTLS", b"RETR", b"LIST", b"TOP 1",
     b"CAPA", b"UNKNOWN", b"", b"*", b"=", b"\x16\x03\x01", b"GET /?password"]
)  # fmt: skip
blanks = st.sampled_from([b" ", b"  ", b"\t", b"", b"=", b"\r", b"\0", b" :"])
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b""])
lines_with_secret = st.builds(lambda verb, blank, form, end: verb + blank + form + end, verbs, blanks, forms, ends)
other_lines = st.sampled_from(
    [b"EHLO client\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN\r\n", b"AUTH CRAM-MD5\r\n", b"AUTH SCRAM-SHA-256\r\n",
     b"AUTH PLAIN =\r\n", b"*\r\n", b"USER alice@example.test\r\n", b"AUTH\r\n", b"RSET\r\n", b"\r\n",
     b"MAIL FROM:<carol@elsewhere.test>\r\n", b"RCPT TO:<bob@example.test>\r\n", b"DATA\r\n", b".\r\n",
     b"BDAT 20\r\n", b"BDAT 0 LAST\r\n", b"x" * 600 + b"\r\n", b"AUTH PLAIN " + b"A" * 13000 + b"\r\n"]
)  # fmt: skip
dialogues = st.lists(st.one_of(lines_with_secret, other_lines), min_size=1, max_size=12).map(b"".join)


@st.composite
def segments(draw: st.DrawFn) -> list[bytes]:
    """A dialogue, cut anywhere."""
    stream = draw(dialogues)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]


def contents(start: object) -> bytes:
    """All octets and texts that can be reached from an object, within the rooms of the recorder."""
    seen: set[int] = set()
    ahead: list[Any] = [start]
    parts: list[bytes] = []
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray):
            parts.append(bytes(one))
        elif isinstance(one, str):
            parts.append(one.encode("utf-8", "surrogatepass"))
        elif isinstance(one, dict | list | tuple | set | frozenset) or type(one).__module__.startswith(
            ("emailsys.wiretap", "collections")
        ):
            ahead += gc.get_referents(one)
    return b"\n".join(parts)


def tap_of(peer: MemoryPeer) -> Any:
    """The record of a session that may not be over."""
    session: Any = peer.protocol
    return session.connection.tap


class SecretTests(SynchronousTestCase):
    """Sessions in memory, each recorded."""

    def setUp(self) -> None:
        self.heard: list[bytes] = []

    def recorder(self) -> Recorder:
        """A recorder that keeps as much as any configuration, but no bodies, with a watcher."""
        records = Recorder(4, 1024 * 1024)
        self.heard.clear()
        records.watch(self.heard.append, 0)
        return records

    def check(self, records: Recorder, *taps: Any) -> None:
        """The secret is nowhere, nor in what has not become an event yet."""
        listed = [records.conversation(one["id"]) for one in records.conversations(10)]
        self.assertTrue(listed)
        memory = contents([records, *taps]) + json.dumps(listed).encode() + b"\n".join(self.heard)
        for form in FORMS:
            self.assertNotIn(form, memory)
            # Also not a part of it that is long enough to help.
            self.assertNotIn(form[: len(form) // 2], memory)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(segments(), st.sampled_from(list(Kind)), st.booleans())
    def test_smtp(self, parts: list[bytes], kind: Kind, may_log_in: bool) -> None:
        records = self.recorder()
        house = SMTPHouse(kind=kind, wiretap=records, settings=SMTPSettings(plaintext_auth_on_loopback=may_log_in))
        peer = house.connect(LOOPBACK)
        peer.say(b"EHLO client\r\n")
        for part in parts:
            peer.say(part)
        self.check(records, tap_of(peer))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(segments())
    def test_pop3(self, parts: list[bytes]) -> None:
        records = self.recorder()
        peer = POP3House(wiretap=records).connect()
        for part in parts:
            peer.say(part)
        self.check(records, tap_of(peer))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from([b"PLAIN", b"LOGIN"]), st.lists(forms, max_size=4), st.integers(1, 40))
    def test_outbound_to_a_host_that_repeats_it(self, mechanism: bytes, echoed: list[bytes], size: int) -> None:
        records = self.recorder()
        hosts = MemoryHosts(wiretap=records)
        hop = NextHop(
            "example.net", login=HostLogin("alice@example.test", SECRET.decode(), in_clear=True), tls=TLSPolicy.NONE
        )
        sent = hosts.send(transmission(), next_hop=hop)
        _ = sent.addErrback(lambda failure: None)
        server = hosts.connect()
        server.reply("220 hi")
        server.say(b"250-me\r\n250 AUTH " + mechanism + b"\r\n")
        said = b""
        refusal = b"535-5.7.8 not " + b" ".join(echoed) + b"\r\n535 no\r\n"
        prompts = [] if mechanism == b"PLAIN" else [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"]
        for answer in (*prompts, refusal):
            said += server.heard()
            for start in range(0, len(answer), size):
                server.say(answer[start : start + size])
        self.assertTrue(any(form in said for form in FORMS))
        self.check(records)
