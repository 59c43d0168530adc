"""Checks that keep what they are told: no octets of a message outlive its session's answer."""

from __future__ import annotations

import tempfile
from typing import IO, Any

from twisted.internet.defer import Deferred

from emailsys.extension import Message, Transaction
from emailsys.net.smtp import held_message
from tests.unit.policy.checks.test_session_checks import COMMANDS, GOOD, CheckCase, Says


class Leaks(CheckCase):
    """The transactions and messages that a check keeps, with reads that it has begun."""

    def setUp(self) -> None:
        self.kept: list[Any] = []
        self.files: list[IO[bytes]] = []
        make = tempfile.TemporaryFile

        def made(**options: Any) -> IO[bytes]:
            self.files.append(make(**options))
            return self.files[-1]

        self.patch(tempfile, "TemporaryFile", made)

    async def keep(self, transaction: Transaction, message: Message) -> None:
        reading = aiter(message)
        self.kept.append((transaction, message, message.fields, reading, await anext(reading)))

    def test_a_check_that_keeps_messages_keeps_no_memory_and_no_file_of_ours(self) -> None:
        house = self.house(Says("message", self.keep))
        for _ in range(3):
            self.assertEqual(self.play(house), GOOD)
        peer = house.connect()
        for octets in (*COMMANDS[:4], (b"x" * 76 + b"\r\n") * 5_000, b".\r\n"):
            peer.say(octets)
        self.assertIn(b"queued as", peer.heard())
        self.assertEqual((len(self.kept), len(house.messages)), (4, 4))
        self.assertEqual([file.closed for file in self.files], [True])
        self.assertEqual(held_message._memory.octets, 0)

    def test_what_is_read_after_the_answer_has_no_octets(self) -> None:
        house = self.house(Says("message", self.keep))
        self.assertEqual(self.play(house), GOOD)
        [(_, message, fields, _, _)] = self.kept
        reading = message.read()
        with self.assertRaises(StopIteration) as ended:
            reading.send(None)
        self.assertEqual(ended.exception.value, b"")
        # The header section, which is small, was parsed once, and the check may keep it.
        self.assertIs(message.fields, fields)

    def test_a_client_that_leaves_during_a_check_leaves_nothing_in_a_check_that_keeps_all(self) -> None:
        house = self.house(Says("message", self.keep), Says("message", lambda *told: self.hang()))
        for _ in range(3):
            peer = house.connect()
            peer.say(b"".join(COMMANDS))
            peer.lose()
        self.assertEqual((len(self.kept), house.messages, held_message._memory.octets), (3, [], 0))

    async def hang(self) -> None:
        await Deferred[None]()
