"""POP3 by random: any split of the stream gives the same replies, random octets never raise, stuffing can be undone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.pop3.server import MAX_BAD_COMMANDS, Event, POP3Session
from emailsys.wire.pop3.top import TopCutter
from emailsys.wire.stuffing import Stuffer, stuff_text
from tests.fakes.net.pop3_house import FIRST, LOGIN, POP3House

SPEEDY = settings(max_examples=150, deadline=None)

#: Text in which every edge is likely.
crowded = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r\n.", b"..", b"\r\n\r\n", b"b c"]), max_size=40).map(
    b"".join
)

lines = st.lists(
    st.sampled_from(
        [
            *(b"STAT|LIST|UIDL|CAPA|NOOP|RSET|RETR 1|RETR 2|RETR 3|TOP 1 2|TOP 2 0|DELE 1|DELE 2|LIST 2".split(b"|")),
            *(b"UTF8|USER alice@example.test|PASS secret|PASS wrong|AUTH|AUTH LOGIN|AUTH PLAIN|*|c2VjcmV0".split(b"|")),
            *(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=|YWxpY2VAZXhhbXBsZS50ZXN0|QUIT|nonsense|".split(b"|")),
            b"x" * 400,
        ]
    ),
    max_size=25,
)


@st.composite
def cuts(draw: st.DrawFn, text: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A text, and the same cut into pieces anywhere."""
    whole = draw(text)
    edges = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in zip([0, *edges], [*edges, len(whole)], strict=True)]
    return whole, pieces


def replies(pieces: list[bytes]) -> bytes:
    """All that the server says to a client that sends these segments."""
    house = POP3House()
    peer = house.connect()
    for piece in pieces:
        peer.say(piece)
        house.clock.advance(0)
    return peer.heard()


def unstuffed(wire: bytes) -> bytes:
    """What a client makes of a multi-line reply, line by line as RFC 1939 §3 has it."""
    message: list[bytes] = []
    for line in wire.split(b"\r\n"):
        if line == b".":
            return b"".join(message)
        message.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
    raise AssertionError("no end")


class SplitTests(SynchronousTestCase):
    """TCP may cut the stream anywhere."""

    @SPEEDY
    @given(cuts(lines.map(lambda said: b"".join(line + b"\r\n" for line in said))))
    def test_any_split_of_a_session_gives_the_same_replies(self, cut: tuple[bytes, list[bytes]]) -> None:
        whole, pieces = cut
        self.assertEqual(replies(pieces), replies([whole]))

    @SPEEDY
    @given(cuts(lines.map(lambda said: LOGIN + b"".join(line + b"\r\n" for line in said))))
    def test_any_split_after_login_gives_the_same_replies(self, cut: tuple[bytes, list[bytes]]) -> None:
        whole, pieces = cut
        self.assertEqual(replies(pieces), replies([whole]))


class NoiseTests(SynchronousTestCase):
    """What is no POP3 at all."""

    @SPEEDY
    @given(st.lists(st.binary(max_size=300), max_size=10), st.booleans())
    def test_random_octets_never_raise(self, pieces: list[bytes], logged_in: bool) -> None:
        house = POP3House()
        peer = house.login() if logged_in else house.connect()
        for piece in pieces:
            peer.say(piece)
        said, listing = b"", False
        for line in peer.heard().split(b"\r\n")[:-1]:
            self.assertLess(len(line), 512)
            if listing:
                listing = line != b"."
            elif not line.startswith((b"+OK", b"-ERR", b"+ ")):
                # The noise had a command that lists, CAPA for one: its lines follow +OK and end with a dot.
                self.assertTrue(said.startswith(b"+OK"), line)
                listing = line != b"."
            said = line
        self.assertFalse(listing)
        self.assertEqual(house.telemetry.counters["exception"], 0)

    @SPEEDY
    @given(st.binary(max_size=3000))
    def test_a_session_ends_after_so_many_bad_lines(self, noise: bytes) -> None:
        session = POP3Session()
        session.feed(noise.replace(b" HTTP", b"") + b"\r\nnonsense" * MAX_BAD_COMMANDS + b"\r\n")
        events: list[Event] = []
        while (event := session.next_event()) is not None:
            events.append(event)
        self.assertGreaterEqual(len(events), MAX_BAD_COMMANDS)


class BodyTests(SynchronousTestCase):
    """What RETR and TOP send, for messages cut into pieces anywhere."""

    @SPEEDY
    @given(cuts(crowded.map(lambda text: text + b"\r\n")))
    def test_stuffing_is_undone_by_a_client_for_any_pieces(self, cut: tuple[bytes, list[bytes]]) -> None:
        whole, pieces = cut
        stuffer = Stuffer()
        wire = b"".join(stuffer.stuff(piece, b"\n." in piece or piece.startswith(b".")) for piece in pieces)
        self.assertEqual(unstuffed(wire + stuffer.end()), whole)

    @SPEEDY
    @given(crowded | st.binary(max_size=20))
    def test_a_whole_text_is_stuffed_as_a_single_piece_is(self, text: bytes) -> None:
        has_dots = b"\n." in text or text.startswith(b".")
        for dotted in {True, has_dots}:
            stuffer = Stuffer()
            self.assertEqual(stuff_text(text, dotted), stuffer.stuff(text, dotted) + stuffer.end())

    @SPEEDY
    @given(st.lists(st.sampled_from((b"\r\n.", b".", b"\r\n", b"\r", b"x" * 400)), min_size=1, max_size=40))
    def test_long_texts_are_stuffed_whether_dots_are_rare_or_not(self, parts: list[bytes]) -> None:
        text = b"".join(parts)
        text *= 9000 // len(text) + 1
        start = b"." if text.startswith(b".") else b""
        self.assertEqual(Stuffer().stuff(text), start + text.replace(b"\r\n.", b"\r\n.."))

    @SPEEDY
    @given(cuts(crowded.map(lambda text: text + b"\r\n")), st.integers(0, 12))
    def test_top_is_header_and_lines_for_any_pieces(self, cut: tuple[bytes, list[bytes]], count: int) -> None:
        whole, pieces = cut
        cutter = TopCutter(count)
        taken = b""
        for piece in pieces:
            taken += cutter.cut(piece)
            if cutter.done:
                break
        header, blank, body = (b"\r\n" + whole).partition(b"\r\n\r\n")
        wanted = header + blank + b"".join(line + b"\r\n" for line in body.split(b"\r\n")[:-1][:count])
        self.assertEqual(b"\r\n" + taken, wanted)

    @SPEEDY
    @given(crowded)
    def test_a_client_gets_the_octets_that_were_stored(self, text: bytes) -> None:
        message = FIRST + text + b"\r\n"
        house = POP3House()
        house.store.put(house.alice, message)
        peer = house.login()
        peer.say(b"RETR 4\r\n")
        status, _, wire = peer.heard().partition(b"\r\n")
        self.assertEqual(status, b"+OK %d octets" % len(message))
        self.assertEqual(unstuffed(wire), message)
