"""Messages that are held for the checks: what they have in memory, all together."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreFull
from emailsys.net.smtp import held_message
from emailsys.net.smtp.held_message import HeldMessage
from tests.fakes.net.smtp_house import SMTPHouse


class Memory(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = SMTPHouse()

    def held(self, folder: str | None = None) -> HeldMessage:
        return HeldMessage(self.house.service.intake.begin(), self.house.clock, folder)

    def test_all_messages_together_are_bounded(self) -> None:
        """Beyond the bound, those that are not small go to files. What has ended does not count."""
        self.patch(held_message, "_ALL_IN_MEMORY", 50_000)
        before = held_message._memory.octets
        # A message that goes to a file fails without its folder.
        first, second, small, large, last = (self.held(self.mktemp()) for _ in range(5))
        _ = first.write(b"x" * 30_000)
        _ = second.write(b"x" * 30_000)
        _ = small.write(b"x" * 16_000)
        self.assertRaises(StoreFull, large.write, b"x" * 17_000)
        first.abandon()
        _ = last.write(b"x" * 30_000)
        self.successResultOf(Deferred.fromCoroutine(second.release(b"")))
        for message in (second, small, large, last, last):
            message.abandon()
        self.assertEqual(held_message._memory.octets, before)

    def test_the_header_section_is_known_in_memory_and_in_a_file(self) -> None:
        message = self.held()
        head = b"Subject: x\r\n\r\n"
        _ = message.write(head)
        self.assertEqual(message.beginning, head)
        for _ in range(2):
            _ = message.write(b"y" * 200_000)
            self.assertEqual(message.beginning, head)
        _ = message.write(b"z")
        self.assertEqual(b"".join(message._read()), head + b"y" * 400_000 + b"z")
        message.abandon()
        self.assertEqual(message.beginning, b"")
