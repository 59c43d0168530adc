"""A POP3 client gives the same events for any split of the stream, and random octets never raise."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.pop3 import client_commands as commands
from emailsys.wire.pop3.client import Answered, Broken, Piece, POP3ClientSession
from emailsys.wire.stuffing import Stuffer

_LINES = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")), max_size=12)
_DOTTED = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"..."]), max_size=12)
_MESSAGE = (_LINES | _DOTTED).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def _pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    return [octets[start:end] for start, end in itertools.pairwise(places)]


class StreamTests(SynchronousTestCase):
    """Messages over the wire and back."""

    @given(st.lists(_MESSAGE, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=30))
    def test_messages_arrive_as_they_were_sent_however_the_stream_is_cut(
        self, messages: list[bytes], cuts: list[int]
    ) -> None:
        session = POP3ClientSession()
        session.pipelining = True
        stream = b"+OK hi\r\n"
        asked = []
        for number, message in enumerate(messages, 1):
            asked.append(commands.retr(number))
            session.ask(asked[-1])
            stuffer = Stuffer()
            stream += b"+OK\r\n" + stuffer.stuff(message) + stuffer.end()
        got = {id(command): b"" for command in asked}
        ended = []
        for piece in _pieces(stream, cuts):
            session.feed(piece)
            while (event := session.next_event()) is not None:
                assert not isinstance(event, Broken), event
                if event.command is session.greeting:
                    continue
                got[id(event.command)] += event.octets
                if isinstance(event, Piece):
                    assert not event.octets.endswith(b"\r")
                else:
                    ended.append(event.command)
        self.assertEqual(ended, asked)
        self.assertEqual([got[id(command)] for command in asked], messages)

    @given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(["retr", "uidl", "auth", "noop"]))
    def test_random_octets_are_read_or_end_the_session(self, pieces: list[bytes], asked: str) -> None:
        session = POP3ClientSession()
        made = {
            "retr": lambda: commands.retr(1),
            "uidl": commands.uidl,
            "auth": lambda: commands.auth_login("a", "b"),
            "noop": commands.noop,
        }
        session.ask(made[asked]())
        for piece in [b"+OK\r\n", *pieces]:
            session.feed(piece)
            while (event := session.next_event()) is not None:
                self.assertIsInstance(event, Answered | Piece | Broken)
