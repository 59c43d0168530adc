"""Any input in any split settles each recipient of an SMTP client once, and never raises."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.reply import Reply
from emailsys.wire.smtp.client import SMTPClientSession
from emailsys.wire.smtp.client_events import BeginTLS, Goodbye, LoggedIn, Ready, SendBody, Settled, Unusable
from emailsys.wire.smtp.replies import ReplyReader
from emailsys.wire.stuffing import Stuffer
from tests.fakes.net.memory_hosts import transmission

_EHLO = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"
_LINES = st.sampled_from(
    [
        b"220 hi\r\n",
        _EHLO,
        b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        b"250 mx\r\n",
        b"250 2.0.0 ok\r\n",
        b"354 go\r\n",
        b"421 bye\r\n",
        b"450 4.2.0 later\r\n",
        b"550 5.1.1 no\r\n",
        b"334 eA==\r\n",
        b"999 what\r\n",
        b"\r\n",
    ]
)


def drive(octets: Sequence[bytes]) -> tuple[list[Settled], bytes]:
    """Three messages to a server that sends those octets, and then is gone. What was settled, and what we sent."""
    session = SMTPClientSession("client.example", "mx")
    waiting = [transmission(f"a{n}@x.example", f"b{n}@x.example", queue_id=f"Q{n}") for n in range(3)]
    settled: list[Settled] = []
    sent = b""

    def act() -> None:
        nonlocal sent
        while (event := session.next_event()) is not None:
            if isinstance(event, Settled):
                settled.append(event)
            elif isinstance(event, SendBody):
                session.body(b"A: b\r\n\r\n.x")
                if session.body_unwanted:
                    session.stop_body()
                else:
                    session.end_body()
            else:
                assert isinstance(event, BeginTLS | Goodbye | LoggedIn | Ready | Unusable)
            if session.can_begin and waiting:
                session.begin(waiting.pop())
        sent += session.take()

    for chunk in octets:
        session.feed(chunk)
        act()
    session.abandon(Reply(451, "4.4.2", "gone"))
    act()
    return settled, sent


class ClientTests(SynchronousTestCase):
    """Random servers."""

    @given(st.lists(_LINES, max_size=40))
    @settings(max_examples=300, deadline=None)
    def test_each_recipient_that_was_begun_is_settled_once(self, lines: list[bytes]) -> None:
        """None is lost, none is doubled, whatever comes."""
        settled, sent = drive([b"220 hi\r\n", _EHLO, *lines])
        ids = [event.transmission.queue_id for event in settled]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue(all(len(event.outcomes) == 2 for event in settled))
        self.assertEqual(len(ids), sent.count(b"MAIL FROM:"))

    @given(st.lists(_LINES, max_size=20), st.data())
    @settings(max_examples=200, deadline=None)
    def test_any_split_of_the_replies_gives_the_same_outcomes(self, lines: list[bytes], data: st.DataObject) -> None:
        """TCP cuts where it likes."""
        stream = b"220 hi\r\n" + _EHLO + b"".join(lines)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
        chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        whole, cut = drive([stream])[0], drive(chunks)[0]
        shown = [[(o.kind, o.reply, o.in_doubt) for event in each for o in event.outcomes] for each in (whole, cut)]
        self.assertEqual(shown[0], shown[1])

    @given(st.lists(st.binary(max_size=60), max_size=20))
    @settings(max_examples=200, deadline=None)
    def test_random_octets_never_raise(self, chunks: list[bytes]) -> None:
        """What is no SMTP ends the session."""
        drive(chunks)

    @given(st.binary(max_size=3000))
    @settings(max_examples=200, deadline=None)
    def test_the_reader_holds_no_more_than_its_bounds(self, octets: bytes) -> None:
        """And what it gives is printable."""
        reader = ReplyReader()
        reader.feed(octets)
        try:
            while (reply := reader.next_reply()) is not None:
                self.assertNotIn("\r", reply.text)
                self.assertEqual(reply.text.encode("utf-8").decode(), reply.text)
        except ValueError:
            return
        self.assertLessEqual(reader.waiting, len(octets))

    @given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"x", b"\r\n.", b""]), max_size=30))
    @settings(max_examples=300, deadline=None)
    def test_the_body_ends_once_wherever_it_is_cut(self, pieces: list[bytes]) -> None:
        """No body ends itself early: only the last line of the stuffed stream is a single dot."""
        stuffer = Stuffer()
        sent = b"".join(stuffer.stuff(piece) for piece in pieces) + stuffer.end()
        self.assertEqual((b"\r\n" + sent).count(b"\r\n.\r\n"), 1)
        self.assertTrue((b"\r\n" + sent).endswith(b"\r\n.\r\n"))
