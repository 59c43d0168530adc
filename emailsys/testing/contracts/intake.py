"""Contract of an intake, to which SMTP gives the messages that it accepts (`IIntake`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from emailsys.interfaces import IIncoming, IIntake, Notice, StoreError
from emailsys.mail.envelope import Envelope
from emailsys.testing.contracts.case import KIB, Contract


class IntakeContract(Contract):
    """Tests of one intake. A subclass overrides `get_intake`, `make_envelope` and `accepted`.

    Each test begins with an intake that has accepted nothing.
    """

    async def get_intake(self) -> IIntake:
        """Return the intake of this test, the same for each call."""
        raise AssertionError(f"{type(self).__name__} has no intake")

    async def make_envelope(self) -> Envelope:
        """Return an envelope with one recipient for whom the intake accepts messages."""
        raise AssertionError(f"{type(self).__name__} makes no envelope")

    async def accepted(self) -> Sequence[bytes]:
        """Return the messages that the recipient has, in any order. Fields may stand in front of each."""
        raise AssertionError(f"{type(self).__name__} does not tell what was accepted")

    async def take(self, body: bytes, step: int = 65_536, notices: Sequence[Notice] = ()) -> str:
        """Give the intake a message in steps, and return its queue id."""
        intake, envelope = await self.get_intake(), await self.make_envelope()
        incoming = intake.begin()
        await self.fill(incoming, body, step)
        await incoming.commit(envelope, notices)
        return incoming.queue_id

    async def fill(self, incoming: IIncoming, body: bytes, step: int = 65_536) -> None:
        """Write a message as sessions do: they pause until the Deferred of a step fires."""
        for start in range(0, len(body), step):
            pause = incoming.write(body[start : start + step])
            if pause is not None:
                await pause

    async def test_an_intake_has_all_of_its_interfaces(self) -> None:
        intake = await self.get_intake()
        verifyObject(IIntake, intake)
        incoming = intake.begin()
        verifyObject(IIncoming, incoming)
        incoming.abandon()

    async def test_there_is_room_for_a_small_message(self) -> None:
        self.assertIs(await (await self.get_intake()).has_room(1000), True)

    async def test_a_message_is_there_once_commit_has_returned(self) -> None:
        await self.take(b"Subject: hello\r\n\r\n.world\r\n")
        (message,) = await self.accepted()
        self.assertTrue(message.endswith(b"Subject: hello\r\n\r\n.world\r\n"))

    async def test_octets_out_are_octets_in_however_they_were_written(self) -> None:
        octets = bytes(range(256)) * 3 * KIB
        bodies = [octets[:size] + b"\r\n" for size in (1, 1000, 256 * KIB, 256 * KIB + 1, 700 * KIB)]
        for body, step in zip(bodies, (1, 7, 65_536, 300_000, 1000), strict=True):
            await self.take(body, step)
        found = sorted(await self.accepted(), key=len)
        self.assertEqual(len(found), len(bodies))
        for message, body in zip(found, bodies, strict=True):
            self.assertTrue(message.endswith(body), f"{len(body)} octets")

    async def test_a_message_is_counted_as_it_is_written(self) -> None:
        incoming = (await self.get_intake()).begin()
        await self.fill(incoming, b"x" * 111, step=100)
        self.assertEqual(incoming.octets, 111)
        incoming.abandon()

    async def test_an_abandoned_message_is_not_accepted(self) -> None:
        intake, envelope = await self.get_intake(), await self.make_envelope()
        for size in (10, 700 * KIB):
            incoming = intake.begin()
            await self.fill(incoming, b"x" * size)
            incoming.abandon()
            incoming.abandon()
            # The client may still be sending.
            await self.fill(incoming, b"late\r\n")
            await self.refused(StoreError, incoming.commit(envelope))
        self.assertEqual(list(await self.accepted()), [])

    async def test_a_message_is_accepted_once(self) -> None:
        incoming, envelope = (await self.get_intake()).begin(), await self.make_envelope()
        await self.fill(incoming, b"x\r\n")
        await incoming.commit(envelope)
        incoming.abandon()
        await self.refused(StoreError, incoming.commit(envelope))
        self.assertEqual(len(await self.accepted()), 1)

    async def test_twenty_at_once_are_all_accepted(self) -> None:
        # The recipient is known before the messages come.
        await self.make_envelope()
        bodies = [b"Subject: %d\r\n\r\n" % number + b"line\r\n" * number * 500 for number in range(20)]
        ids = await gatherResults([Deferred.fromCoroutine(self.take(body)) for body in bodies])
        self.assertEqual(len(set(ids)), 20)
        found = sorted(await self.accepted(), key=len)
        self.assertEqual(len(found), 20)
        for message, body in zip(found, bodies, strict=True):
            self.assertTrue(message.endswith(body))

    async def test_queue_ids_are_words_for_a_log(self) -> None:
        intake = await self.get_intake()
        incoming = [intake.begin() for _ in range(3)]
        self.assertEqual(len({one.queue_id for one in incoming}), 3)
        for one in incoming:
            self.assertRegex(one.queue_id, r"\A[0-9A-Za-z]{1,20}\Z")
            one.abandon()

    async def test_notices_are_accepted_with_their_message(self) -> None:
        envelope = await self.make_envelope()
        notice = Notice(replace(envelope, reverse_path=None), b"Subject: notice\r\n\r\n")
        await self.take(b"Subject: cause\r\n\r\n", notices=[notice])
        found = [message.splitlines()[-2] for message in await self.accepted()]
        self.assertEqual(sorted(found), [b"Subject: cause", b"Subject: notice"])
