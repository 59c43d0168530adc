"""MemorySMTP: conversations without sockets, on a clock."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from emailsys.testing import MemorySMTP

LETTER = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"


class MemoryTests(SynchronousTestCase):
    """What a test of a protocol does."""

    def setUp(self) -> None:
        """An empty server."""
        self.server = MemorySMTP()

    def tearDown(self) -> None:
        """Nothing unexpected was logged."""
        self.assertEqual([line for line in self.server.log if "Traceback" in line], [])

    def test_a_conversation(self) -> None:
        """Lines in, replies out, a message kept as it was sent."""
        client = self.server.connect(IPv4Address("TCP", "192.0.2.9", 1))
        self.assertEqual(client.heard(), b"220 memory.invalid ESMTP emailsys\r\n")
        client.say(b"EHLO x\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" + LETTER)
        self.assertTrue(client.heard().splitlines()[-1].startswith(b"354"))
        client.say(b"Subject: hi\r\n\r\n..\r\n.\r\nQUIT\r\n")
        self.assertIn(b"queued as memory1\r\n221", client.heard())
        self.assertTrue(client.lost)
        (message,) = self.server.messages
        self.assertEqual((message.raw, message.login), (b"Subject: hi\r\n\r\n.\r\n", "alice"))

    def test_failures_and_time(self) -> None:
        """A delay ends when the test says so, and a silent client is disconnected."""
        self.server.fail("slow by 2 s at the first RCPT", "451 at RCPT for bob@")
        client = self.server.connect()
        client.say(b"EHLO x\r\n" + LETTER)
        self.assertTrue(client.heard().endswith(b"250 2.1.0 sender OK\r\n"))
        self.server.clock.advance(2)
        self.assertEqual(client.heard().splitlines()[0], b"451 4.0.0 scripted failure")
        self.server.clock.advance(300)
        self.assertTrue(client.heard().startswith(b"421 4.4.2"))
        self.assertTrue(client.lost)
