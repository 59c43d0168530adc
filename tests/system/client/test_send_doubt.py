"""A message that may have arrived is sent again only if the user says so, and two programs do not contradict."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from typing_extensions import override

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import OUTBOX, SENT
from emailsys.client.send.outbox import State
from tests.system.client.test_send import SendCase


class _HangsUp(LineReceiver):
    """A submission server that closes the connection when it gets a certain line, such as the final dot."""

    def __init__(self, at: bytes) -> None:
        self._at = at
        self._in_body = False

    @override
    def connectionMade(self) -> None:
        self.sendLine(b"220 x ESMTP")

    @override
    def lineReceived(self, line: bytes) -> None:
        if line.startswith(self._at):
            transport: Any = self.transport
            transport.abortConnection()
        elif self._in_body:
            return
        elif line == b"DATA":
            self._in_body = True
            self.sendLine(b"354 go on")
        else:
            self.sendLine({b"EHLO": b"250-x\r\n250 AUTH PLAIN", b"AUTH": b"235 fine"}.get(line[:4], b"250 fine"))


class DoubtTests(SendCase):
    """An attempt ends between the final dot and its reply: by the server, or by a crash of this program."""

    def server(self, at: bytes) -> Account:
        factory = Factory.forProtocol(lambda: _HangsUp(at))
        return self.client.account(smtp=self.client.listen(factory))  # type: ignore[arg-type]

    async def test_only_an_end_after_the_final_dot_leaves_doubt(self) -> None:
        """Before it, the message waits and is sent by the next flush. After it, the user must say so."""
        for at, state in ((b"MAIL", State.WAITING), (b"DATA", State.WAITING), (b".", State.IN_DOUBT)):
            key = self.put()
            sent = await self.send(key, self.server(at))
            self.assertEqual((sent.in_doubt, sent.waits), (state is State.IN_DOUBT, True), at)
            self.assertEqual(self.client.outbox.get(key).state, state, at)
        self.assertEqual(len(await self.client.sender.flush([self.account])), 2)
        self.assertEqual(list(await self.client.sender.flush([self.account])), [])
        (left,) = self.client.outbox.in_doubt(["alice"])
        self.client.outbox.retry(left.key)
        (sent,) = await self.client.sender.flush([self.account])
        self.assertIsNone(sent.problem)
        self.assertEqual((len(self.house.messages), self.client.messages(folder=OUTBOX)), (3, []))

    async def test_a_crash_leaves_doubt_only_after_the_last_octets(self) -> None:
        """A program that died before them sent nothing; one that died after them may have."""
        for dies_late, state in ((False, State.WAITING), (True, State.IN_DOUBT)):
            key = self.put()
            job = self.client.outbox.begin(key)
            assert job is not None
            if dies_late:
                self.client.outbox.record_last_octets(job)
            job.lock.release()
            found = self.client.anew().outbox.get(key)
            self.assertEqual((found.state, found.may_be_sent), (state, dies_late))

    async def test_doubt_outlasts_a_later_attempt_that_cannot_begin(self) -> None:
        """The server is down, refuses the login, or refuses the recipient: the first attempt may have arrived."""
        key = self.put()
        await self.send(key, self.server(b"."))
        self.client.outbox.retry(key)
        for account in (self.client.account(smtp=1), self.client.account(smtp=self.port, password="wrong")):
            self.assertFalse((await self.send(key, account)).in_doubt)
            queued = self.client.outbox.get(key)
            self.assertEqual((queued.state, queued.may_be_sent), (State.WAITING, True), "the user said so")
        key = self.put("nobody@example.test")
        await self.send(key, self.server(b"."))
        self.client.outbox.retry(key)
        await self.send(key)
        self.assertEqual(self.client.outbox.get(key).state, State.REFUSED)
        self.assertTrue(self.client.outbox.get(key).may_be_sent)
        self.assertIn("may have it", self.client.outbox.stop(key).words)

    async def test_a_message_that_another_program_left_in_doubt_is_not_sent_again(self) -> None:
        """The outbox is listed, and another program ends its attempt in doubt or is refused before this one begins."""
        keys = [self.put(), self.put("nobody@example.test")]
        other = self.client.anew()
        await other.sender.send(self.server(b"."), keys[0])
        await other.sender.send(self.account, keys[1])
        await other.sender.close()
        other.archive.close()
        outbox: Any = self.client.outbox
        self.patch(outbox, "due", lambda _account: keys)
        doubtful, refused = await self.client.sender.flush([self.account])
        self.assertEqual(
            (doubtful.in_doubt, doubtful.waits, refused.in_doubt, refused.waits), (True, True) + (False,) * 2
        )
        self.assertIn("550 5.1.1", str(refused.problem))
        self.assertEqual((self.house.messages, [outbox.get(key).attempts for key in keys]), ([], [1, 1]))
        outbox.retry(keys[0])
        (sent, _) = await self.client.sender.flush([self.account])
        self.assertEqual((sent.problem, len(self.house.messages)), (None, 1))

    async def test_a_message_that_another_program_has_sent_is_not_reported_as_stopped(self) -> None:
        """Two programs list the outbox, and one sends each message first. Both tell the truth, with copies or none."""
        keys = [self.put(), self.put()]
        outbox: Any = self.client.outbox
        self.patch(outbox, "due", lambda _account: keys)
        other = self.client.anew()
        first = await other.sender.flush([self.account])
        await other.sender.close()
        other.archive.close()
        second = await self.client.sender.flush([self.account])
        self.assertEqual([one.problem for one in (*first, *second)], [None] * 4)
        self.assertEqual([one.by_another for one in (*first, *second)], [False, False, True, True])
        self.assertEqual((len(self.house.messages), len(self.client.messages(folder=SENT))), (2, 2))
        self.client.archive.purge(keys)
        self.assertEqual(list(await self.client.sender.flush([self.account])), [])
        self.assertIn("no longer in the outbox", str((await self.send(keys[0])).problem))
