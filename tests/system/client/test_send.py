"""Sending through a submission server: unsent messages are kept, and held messages can be stopped."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import DRAFTS, OUTBOX, SENT, NoSuchMessage
from emailsys.client.base.process_lock import ProcessLock
from emailsys.client.compose.message_builder import OutgoingMessage
from emailsys.client.send.outbox import LockTaken, Notices, State
from emailsys.client.send.sender import SendResult
from emailsys.config.settings import SMTPSettings
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import notify_value
from emailsys.net.smtp.service import Kind
from tests.fakes.client.client_house import ClientHouse
from tests.fakes.net.smtp_house import SMTPHouse

BODY = b"From: alice@example.test\r\nTo: bob@example.test\r\nSubject: hello\r\n\r\nline\r\n.dot\r\n"


def composed(*recipients: str, octets: bytes = BODY) -> OutgoingMessage:
    return OutgoingMessage(
        octets,
        parse("alice@example.test"),
        tuple(parse(one) for one in recipients or ("bob@example.test",)),
        "1@example.test",
        False,
        False,
    )


class SendCase(TestCase):
    """A mail client and a submission server with the users alice and bob."""

    def setUp(self) -> None:
        self.client = ClientHouse(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))
        self.house = SMTPHouse(
            kind=Kind.SUBMISSION, settings=SMTPSettings(plaintext_auth_on_loopback=True), clock=reactor
        )
        self.port = self.client.listen(self.house.factory)
        self.account = self.client.account(smtp=self.port)

    def put(self, *recipients: str, **options: Any) -> str:
        return self.client.outbox.put("alice", composed(*recipients), **options)

    async def send(self, key: str, account: Account | None = None) -> SendResult:
        return await self.client.sender.send(account or self.account, key)


class SendTests(SendCase):
    """Sent messages, and their state in the outbox."""

    async def test_a_message_goes_out_octet_by_octet_and_a_copy_lies_in_sent(self) -> None:
        result = await self.send(self.put())
        self.assertIsNone(result.problem)
        self.assertEqual(result.accepted, ("bob@example.test",))
        self.assertIn("250", result.reply)
        self.assertTrue(self.house.body().endswith(BODY.partition(b"\r\n\r\n")[2]))
        self.assertEqual(self.client.messages(folder=SENT), [BODY])
        self.assertEqual(self.client.messages(folder=OUTBOX), [])

    async def test_a_recipient_that_is_refused_stays_with_the_servers_words(self) -> None:
        key = self.put("bob@example.test", "nobody@example.test")
        result = await self.send(key)
        self.assertEqual(result.accepted, ("bob@example.test",))
        self.assertFalse(result.waits)
        self.assertIn("550 5.1.1", str(result.problem))
        queued = self.client.outbox.get(key)
        self.assertEqual((queued.state, queued.recipients), (State.REFUSED, ("nobody@example.test",)))
        self.assertEqual(len(self.client.messages(folder=SENT)), 1)
        self.assertEqual(list(await self.client.sender.flush([self.account])), [])
        self.assertEqual(len(self.house.messages), 1)

    async def test_a_refused_message_may_be_tried_again_and_reaches_only_who_lacks_it(self) -> None:
        key = self.put("bob@example.test", "nobody@example.test")
        await self.send(key)
        self.house.store.seed_account("nobody@example.test")
        self.client.outbox.retry(key)
        (result,) = await self.client.sender.flush([self.account])
        self.assertEqual(result.accepted, ("nobody@example.test",))
        self.assertEqual(len(self.client.messages(folder=SENT)), 1)
        self.assertEqual(self.client.messages(folder=OUTBOX), [])

    async def test_a_message_that_cannot_be_sent_now_is_sent_later(self) -> None:
        key = self.put()
        result = await self.send(key, self.client.account(smtp=1))
        self.assertTrue(result.waits)
        self.assertIn("refused", str(result.problem))
        self.assertEqual(self.client.outbox.get(key).state, State.WAITING)
        (result,) = await self.client.sender.flush([self.account])
        self.assertIsNone(result.problem)
        self.assertEqual(len(self.house.messages), 1)

    async def test_a_wrong_password_is_told_and_the_message_waits(self) -> None:
        result = await self.send(self.put(), self.client.account(smtp=self.port, password="wrong"))
        self.assertTrue(result.waits)
        self.assertRegex(str(result.problem), "refused the login of alice@example.test: 535 5.7.8")
        self.assertIn("password", result.advice)
        (waiting,) = self.client.outbox.list("alice")
        self.assertEqual(waiting.refusals, ())

    async def test_an_account_that_cannot_send_keeps_the_message(self) -> None:
        result = await self.send(self.put(), self.client.account())
        self.assertIn("has no submission server", str(result.problem))
        self.assertEqual(len(self.client.outbox.list("alice")), 1)

    async def test_progress_of_a_large_message_is_reported(self) -> None:
        octets = BODY + (b"x" * 70 + b"\r\n") * 10_000
        key = self.client.outbox.put("alice", composed(octets=octets))
        await self.send(key)
        told = [one.octets for one in self.client.sending]
        self.assertGreater(len(told), 5)
        self.assertEqual((told, told[-1]), (sorted(told), len(octets)))

    async def test_no_copy_is_kept_where_none_is_wanted(self) -> None:
        account = Account("alice", self.account.address, smtp=self.account.smtp, copy_to_sent=False)
        await self.send(self.put(), account)
        self.assertEqual(sum(count.messages for count in self.client.archive.folders()), 0)

    async def test_several_messages_go_over_one_connection(self) -> None:
        for _ in range(3):
            self.put()
        results = await self.client.sender.flush([self.account])
        self.assertEqual([one.problem for one in results], [None] * 3)
        self.assertEqual(len(self.house.minds), 1)

    async def test_a_crash_after_the_servers_last_word_sends_nothing_twice(self) -> None:
        key = self.put()
        job = self.client.outbox.begin(key)
        assert job is not None
        note = job.note.changed(sent=True, waiting=(), accepted=job.note.waiting)
        self.client.outbox.write(job, note)
        self.client.outbox.end(job)
        (result,) = await self.client.sender.flush([self.account])
        self.assertEqual(result.accepted, ("bob@example.test",))
        self.assertEqual((len(self.house.messages), len(self.client.messages(folder=SENT))), (0, 1))

    async def test_a_crash_in_the_middle_is_told_and_the_message_is_kept(self) -> None:
        key = self.put()
        job = self.client.outbox.begin(key)
        assert job is not None
        self.client.outbox.record_last_octets(job)
        self.client.outbox.end(job)
        self.assertTrue(self.client.outbox.get(key).may_be_sent)
        self.assertIn("the server may have it", self.client.outbox.stop(key).words)

    async def test_notices_are_asked_for_where_they_are_wanted(self) -> None:
        self.assertEqual(notify_value(Notices(success=True).notify), "SUCCESS,FAILURE,DELAY")
        self.assertEqual(notify_value(Notices(failure=False, delay=False).notify), "NEVER")
        result = await self.send(self.put(notices=Notices()))
        self.assertIsNone(result.problem)


class UndoTests(SendCase):
    """What can still be stopped, and what cannot."""

    async def test_a_held_message_can_be_stopped_and_its_bcc_is_not_forgotten(self) -> None:
        key = self.put("bob@example.test", "secret@example.test", hold=30.0)
        self.assertEqual(self.client.outbox.get(key).state, State.HELD)
        self.assertEqual(list(await self.client.sender.flush([self.account])), [])
        stopped = self.client.outbox.stop(key)
        self.assertTrue(stopped.stopped)
        self.assertIn("it was not sent", stopped.words)
        self.assertEqual(self.client.messages(folder=DRAFTS), [b"Bcc: secret@example.test\r\n" + BODY])
        self.assertRaises(NoSuchMessage, self.client.outbox.get, key)

    async def test_a_message_is_sent_when_its_hold_is_over(self) -> None:
        result = await self.send(self.put(hold=0.05))
        self.assertIsNone(result.problem)

    async def test_a_cancelled_wait_leaves_the_message_in_the_outbox(self) -> None:
        key = self.put(hold=600.0)
        sending = Deferred.fromCoroutine(self.send(key))
        sending.cancel()
        with self.assertRaises(CancelledError):
            await sending
        self.assertEqual(self.client.outbox.get(key).state, State.HELD)

    async def test_a_message_that_is_being_sent_cannot_be_stopped(self) -> None:
        key = self.put()
        job = self.client.outbox.begin(key)
        assert job is not None
        self.assertEqual(self.client.outbox.get(key).state, State.SENDING)
        stopped = self.client.outbox.stop(key)
        self.assertFalse(stopped.stopped)
        self.assertIn("can no longer be stopped", stopped.words)
        self.assertRaises(LockTaken, self.client.outbox.begin, key)
        self.client.outbox.end(job)

    async def test_a_sent_message_cannot_be_stopped(self) -> None:
        key = self.put()
        await self.send(key)
        stopped = self.client.outbox.stop(key)
        self.assertFalse(stopped.stopped)
        self.assertIn("cannot be called back", stopped.words)

    async def test_a_message_that_was_stopped_is_not_sent_by_who_waited_for_it(self) -> None:
        key = self.put()
        self.client.outbox.stop(key)
        result = await self.send(key)
        self.assertIsNotNone(result.problem)
        self.assertEqual(self.house.messages, [])

    def test_a_lock_on_a_removed_file_is_no_lock(self) -> None:
        path = self.client.state / "outbox" / "x.lock"
        first = ProcessLock(path)
        path.unlink()
        second = ProcessLock(path)
        self.assertRaises(LockTaken, ProcessLock, path)
        first.release()
        second.release()
        second.release()
        ProcessLock(path).release()
