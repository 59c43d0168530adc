"""A stream gives the same message for any split, and no input breaks a session."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address
from emailsys.mail.envelope import Recipient
from emailsys.net.smtp.service import Kind
from emailsys.wire.smtp.grammar import MailArguments
from emailsys.wire.smtp.server import Session
from emailsys.wire.smtp.server_events import Answer, Body, Command, Drop, End, Event
from tests.fakes.net.smtp_house import SMTPHouse

RECIPIENT = Recipient(Address("bob", "example.test"), ())
# Octets that most often break readers.
TRICKY = st.sampled_from(
    (b"\r\n", b"\r", b"\n", b".", b"..", b"\r\n.", b"\r\n.\r", b".\r\n", b"a", b"\0", b"\xff", b"QUIT")
)
LINES = st.lists(
    st.binary(max_size=12).map(lambda line: re.sub(rb"[\r\n]", b"", line)) | st.sampled_from((b".", b".."))
)
MESSAGES = LINES.map(lambda lines: b"".join(line + b"\r\n" for line in lines))
PHRASES = st.sampled_from(
    (
        b"EHLO c\r\n",
        b"HELO c\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<bob@example.test>\r\n",
        b"RCPT TO:<bob@example.test>\r\nDATA\r\n",
        b"DATA\r\n",
        b"BDAT 3\r\nabc",
        b"BDAT 5 LAST\r\nab\r\nc",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY x\r\n",
        b"HELP\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN\r\n",
        b"*\r\n",
        b"YQ==\r\n",
        b"\r\n.\r\n",
        b"STARTTLS x\r\n",
        b"\n",
        b"\r",
        b"Subject: x\r\n\r\n",
        b"Authentication-Results: mx.example.test;\r\n",
    )
)


def cut(octets: bytes, places: Sequence[int]) -> list[bytes]:
    """Returns the octets cut at these places."""
    at = sorted({place % (len(octets) + 1) for place in places} | {0, len(octets)})
    return [octets[start:end] for start, end in itertools.pairwise(at)]


def lines_of(message: bytes) -> list[bytes]:
    """Returns the lines of a message, which end only at CRLF."""
    return [line + b"\r\n" for line in message.split(b"\r\n")[:-1]]


class Framing(SynchronousTestCase):
    def session(self) -> Session:
        session = Session(10**6, 100)
        session.feed(b"EHLO c\r\n")
        session.next_event()
        session.begin_transaction(MailArguments(None))
        session.transaction.recipients.append(RECIPIENT)
        return session

    @given(MESSAGES, st.lists(st.integers(0, 10**6), max_size=20))
    def test_what_is_stuffed_and_cut_anywhere_comes_out_whole(self, message: bytes, places: list[int]) -> None:
        on_wire = b"".join(b"." + line if line[:1] == b"." else line for line in lines_of(message)) + b".\r\nNOOP\r\n"
        session = self.session()
        session.begin_data()
        pieces = []
        ends = []
        event: Event | None = None
        for block in cut(on_wire, places):
            session.feed(block)
            while isinstance(event := session.next_event(), Body):
                self.assertIsNone(event.refusal)
                self.assertFalse(event.octets.endswith(b"\r"), "a CRLF was torn")
                pieces.append(event.octets)
                if event.end is End.MESSAGE:
                    ends.append(event)
        self.assertEqual(b"".join(pieces), message)
        self.assertEqual(len(ends), 1)
        self.assertEqual(event, Command("NOOP", b""))

    @given(MESSAGES, st.lists(st.integers(0, 10**6), max_size=6), st.lists(st.integers(0, 10**6), max_size=20))
    def test_what_is_sent_in_chunks_and_cut_anywhere_comes_out_whole(
        self, message: bytes, chunk_places: list[int], places: list[int]
    ) -> None:
        chunks = cut(message, chunk_places)
        on_wire = b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks) + b"BDAT 0 LAST\r\nNOOP\r\n"
        session = self.session()
        pieces = []
        events = []
        for block in cut(on_wire, places):
            session.feed(block)
            while (event := session.next_event()) is not None:
                events.append(event)
                if isinstance(event, Body):
                    self.assertIsNone(event.refusal)
                    pieces.append(event.octets)
        self.assertEqual(b"".join(pieces), message)
        self.assertEqual(events[-1], Command("NOOP", b""))

    @given(st.lists(TRICKY, max_size=30).map(b"".join), st.lists(st.integers(0, 10**6), max_size=20))
    def test_only_crlf_dot_crlf_ends_a_message_wherever_it_is_cut(self, octets: bytes, places: list[int]) -> None:
        end = (b"\r\n" + octets).find(b"\r\n.\r\n")
        text = octets[: max(end, 0)] if end >= 0 else octets
        lawful = re.search(rb"\r(?!\n)|(?<!\r)\n", text) is None
        session = self.session()
        session.begin_data()
        over = None
        for block in cut(octets, places):
            session.feed(block)
            while over is None and isinstance(event := session.next_event(), Body):
                if event.end is End.MESSAGE:
                    over = event
        self.assertEqual(over is not None, end >= 0)
        if over is not None:
            self.assertEqual(over.refusal is None, lawful)


class Sessions(SynchronousTestCase):
    @given(st.lists(PHRASES | st.binary(max_size=20), max_size=25).map(b"".join), st.lists(st.integers(0, 10**6)))
    @settings(max_examples=200)
    def test_any_cut_of_any_stream_gives_the_same_replies_and_messages(self, octets: bytes, places: list[int]) -> None:
        told = []
        for pieces in ([octets], cut(octets, places), [octets[at : at + 1] for at in range(len(octets))]):
            house = SMTPHouse(Kind.RECEIVE)
            peer = house.connect()
            for piece in pieces:
                peer.say(piece)
            told.append((peer.heard(), [(message.body, message.envelope) for message in house.messages], peer.lost))
            self.assertEqual(house.telemetry.exceptions, [])
        self.assertEqual(told[0], told[1])
        self.assertEqual(told[0], told[2])

    @given(st.binary(max_size=300) | st.lists(PHRASES | TRICKY, max_size=30).map(b"".join))
    def test_every_line_that_is_answered_is_a_reply(self, octets: bytes) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        peer = house.connect(tls=True)
        peer.say(octets)
        for line in peer.heard().split(b"\r\n")[:-1]:
            self.assertRegex(line, rb"^[2345][0-9]{2}[ -][ -~]*$")
            self.assertLess(len(line), 511)
        self.assertEqual(house.telemetry.exceptions, [])

    @given(st.lists(st.binary(max_size=60) | PHRASES, max_size=20))
    def test_random_octets_never_raise(self, blocks: list[bytes]) -> None:
        session = Session(50, 2)
        for block in blocks:
            session.feed(block)
            while (event := session.next_event()) is not None:
                if isinstance(event, Command):
                    if event.verb == "MAIL":
                        session.begin_transaction(event.argument)
                    elif event.verb == "RCPT":
                        session.transaction.recipients.append(RECIPIENT)
                    elif event.verb == "DATA":
                        session.begin_data()
                else:
                    self.assertIsInstance(event, Answer | Body | Drop)
        self.assertLess(session.waiting, 12289)
