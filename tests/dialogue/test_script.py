"""The script runner itself: what it accepts and what it rejects."""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase, TestCase

from emailsys.testing.memory_peer import MemoryPeer
from tests.dialogue.peers import SocketPeer
from tests.dialogue.script import matches, parse, play


class Parrot(LineReceiver):
    """Sends each line back, and closes at BYE."""

    def connectionMade(self) -> None:
        self.sendLine(b"hello")

    def lineReceived(self, line: bytes) -> None:
        assert self.transport is not None
        if line == b"BYE":
            self.transport.loseConnection()
        else:
            self.sendLine(b"you said " + line)


SCRIPT = """
# A parrot.
S: hello
C: one
C> two\\r\\nthree\\r
-- segment
C> \\n
S* you said t...
S: you said one
S* you said t...
S: you said three
-- silence
C: BYE
-- closed
"""


class OverASocket(TestCase):
    async def test_a_dialogue_is_played_over_a_real_socket(self) -> None:
        from twisted.internet import reactor

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Parrot))
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        peer = await connectProtocol(endpoint, SocketPeer())
        await play(parse("parrot", SCRIPT), peer)
        await port.stopListening()


class InMemory(TestCase):
    async def test_a_dialogue_is_played_in_memory(self) -> None:
        await play(parse("parrot", SCRIPT), MemoryPeer(Parrot()))

    async def test_another_answer_fails_and_names_the_line(self) -> None:
        for wrong in ("S: hi", "S: hello\nC: x\n-- silence", "-- closed", "S: hello\nS: hello", "S: hello\n-- closed"):
            try:
                await play(parse("wrong", wrong), MemoryPeer(Parrot()))
            except AssertionError:
                continue
            self.fail(f"{wrong!r} passed")

    async def test_other_words_are_the_tests_own(self) -> None:
        heard: list[str] = []
        peer = MemoryPeer(Parrot())
        script = parse("own", "S: hello\n-- note this and that\n-- advance 3\n-- hang up\n-- closed")
        await play(script, peer, {"note": heard.append})
        self.assertEqual(heard, ["this and that"])
        self.assertEqual(peer.clock.seconds(), 3)
        self.assertTrue(script.needs_clock)


class Parts(SynchronousTestCase):
    def test_a_line_that_is_no_step_is_an_error(self) -> None:
        self.assertRaises(ValueError, parse, "x", "CS: hello")

    def test_dots_stand_for_any_text(self) -> None:
        self.assertTrue(matches("250...queued...", b"250 2.0.0 queued as 1"))
        self.assertFalse(matches("250...queued", b"250 2.0.0 queued as 1"))
