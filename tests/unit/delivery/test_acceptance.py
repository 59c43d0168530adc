"""Acceptance: it wakes the queue runner, and makes notices of success for senders who requested them."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.delivery.acceptance import QueueingIntake
from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.interfaces import IIncoming, IIntake, StoreError
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import MessageRequest, Notify, OriginalRecipient, RecipientRequest
from emailsys.mail.envelope import Envelope, LocalRoute, MailParameters, Recipient, RemoteRoute, Route
from tests.fakes.in_thread import at_once
from tests.fakes.store.memory_relay import MemoryRouter
from tests.fakes.store.memory_store import MemoryStore

SUCCESS = RecipientRequest(Notify.SUCCESS)
MESSAGE = b"Subject: hello\r\nMessage-ID: <one@away.test>\r\n\r\nhow are you?\r\n"


class Accepting(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@home.test")
        self.bob = self.store.seed_account("bob@home.test")
        self.to_alice = LocalRoute(self.alice.account_id)
        self.to_bob = LocalRoute(self.bob.account_id)
        self.away = RemoteRoute(parse("carol@away.test"), forwarded=True)
        self.router = MemoryRouter({"alice@home.test": (self.to_alice,), "gone@home.test": ()})
        self.woken = 0
        self.intake = QueueingIntake(
            self.store.intake, self.router, "mail.home.test", NoticeWriter(at_once), self.wake, 4096
        )

    def wake(self) -> None:
        self.woken += 1

    def accept(
        self,
        *routes: Route,
        to: str = "team@home.test",
        sender: str | None = "alice@home.test",
        dsn: RecipientRequest = SUCCESS,
        step: int = 10,
    ) -> None:
        incoming = self.intake.begin()
        for at in range(0, len(MESSAGE), step):
            self.assertIsNone(incoming.write(MESSAGE[at : at + step]))
        envelope = Envelope(
            None if sender is None else parse(sender),
            [Recipient(parse(to), routes, dsn)],
            self.store.now(),
            parameters=MailParameters(dsn=MessageRequest(envid="e7")),
        )
        self.assertEqual(incoming.octets, len(MESSAGE))
        self.successResultOf(Deferred.fromCoroutine(incoming.commit(envelope)))

    def notices(self) -> list[EmailMessage]:
        rows = self.store.drops.get(self.alice.account_id, [])
        found = [email.message_from_bytes(row.octets, policy=email.policy.default) for row in rows]
        return [message for message in found if message["Auto-Submitted"]]

    def test_intake_and_incoming_implement_their_interfaces(self) -> None:
        self.assertTrue(verifyObject(IIntake, self.intake))
        self.assertTrue(verifyObject(IIncoming, self.intake.begin()))
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.intake.has_room(1))))

    def test_a_delivery_here_is_told_in_the_same_commit(self) -> None:
        self.accept(self.to_bob, to="bob@home.test")
        (notice,) = self.notices()
        self.assertEqual(notice["Subject"], "Your message was delivered")
        self.assertEqual(notice["References"], "<one@away.test>")
        self.assertIn("Action: delivered", notice.as_string())
        self.assertIn("Original-Envelope-Id: e7", notice.as_string())
        self.assertEqual(self.store.drops[self.bob.account_id][0].message.body, MESSAGE)
        self.assertEqual(self.woken, 0)

    def test_no_notice_is_sent_without_a_request_or_to_the_null_reverse_path(self) -> None:
        self.accept(self.to_bob, dsn=RecipientRequest())
        self.accept(self.to_bob, sender=None)
        self.accept(self.to_bob, sender="gone@home.test")
        self.assertEqual(len(self.store.messages), 3)

    def test_an_address_with_several_behind_it_is_told_as_expanded_and_only_once(self) -> None:
        self.accept(self.to_bob, self.away, dsn=RecipientRequest(Notify.SUCCESS | Notify.FAILURE))
        (notice,) = self.notices()
        self.assertIn("Action: expanded", notice.as_string())
        (row,) = self.store.waiting
        self.assertEqual(row.dsn.notify, Notify.FAILURE)
        self.assertEqual(row.dsn.orcpt, OriginalRecipient("rfc822", "team@home.test"))
        self.assertTrue(row.forwarded)

    def test_success_alone_asks_for_nothing_more_after_the_expansion(self) -> None:
        self.accept(self.to_bob, self.away)
        self.assertEqual(self.store.waiting[0].dsn.notify, Notify.NEVER)

    def test_an_alias_for_one_address_elsewhere_passes_all_requests_on(self) -> None:
        self.accept(self.away)
        self.assertEqual(self.notices(), [])
        self.assertEqual(self.store.waiting[0].dsn.notify, Notify.SUCCESS)

    def test_a_full_member_of_an_alias_does_not_delay_the_others(self) -> None:
        """RFC 5321 §3.9.1. The sender learns of the failure, but not whose mailbox is full."""
        full = LocalRoute(self.bob.account_id, is_full=True)
        self.accept(self.to_alice, full, self.away, dsn=RecipientRequest())
        self.assertNotIn(self.bob.account_id, self.store.drops)
        self.assertEqual([row.forward_path for row in self.store.waiting], [self.away.forward_path])
        (notice,) = self.notices()
        text = notice.as_string()
        self.assertIn("Final-Recipient: rfc822; team@home.test", text)
        self.assertIn("Action: failed", text)
        self.assertIn("Status: 5.2.2", text)
        self.assertNotIn("bob@home.test", text)

    def test_a_full_member_is_no_reason_for_a_notice_that_the_sender_declined(self) -> None:
        full = LocalRoute(self.bob.account_id, is_full=True)
        self.accept(self.to_alice, full, dsn=RecipientRequest(Notify.NEVER))
        self.accept(self.to_alice, full, sender=None, dsn=RecipientRequest())
        self.assertEqual(self.notices(), [])
        self.assertEqual(len(self.store.drops[self.alice.account_id]), 2)

    def test_mail_for_elsewhere_wakes_the_queue_once_it_is_on_disk(self) -> None:
        self.store.hold_commits = True
        incoming = self.intake.begin()
        incoming.write(MESSAGE)
        path = parse("carol@away.test")
        envelope = Envelope(None, [Recipient(path, (RemoteRoute(path),))], self.store.now())
        done = Deferred.fromCoroutine(incoming.commit(envelope))
        self.assertEqual(self.woken, 0)
        self.store.release_held()
        self.successResultOf(done)
        self.assertEqual(self.woken, 1)
        self.assertIsNone(self.store.waiting[0].dsn.orcpt)

    def test_a_notice_for_elsewhere_wakes_the_queue(self) -> None:
        self.accept(self.to_bob, sender="eve@elsewhere.test")
        self.assertEqual([str(row.forward_path) for row in self.store.waiting], ["eve@elsewhere.test"])
        self.assertEqual(self.woken, 1)

    def test_abandon_discards_the_message(self) -> None:
        incoming = self.intake.begin()
        incoming.write(MESSAGE)
        incoming.abandon()
        self.assertEqual((self.store.abandoned, self.store.messages), (1, []))

    def test_a_message_is_discarded_if_the_routes_of_its_notice_cannot_be_read(self) -> None:
        """Otherwise its staged pieces would stay on disk."""
        incoming = self.intake.begin()
        incoming.write(MESSAGE)
        envelope = Envelope(
            parse("alice@home.test"), [Recipient(parse("bob@home.test"), (self.to_bob,), SUCCESS)], self.store.now()
        )

        async def unreadable(forward_path: object) -> object:
            raise StoreError("the directory cannot be read")

        self.patch(self.router, "resolve", unreadable)
        self.failureResultOf(Deferred.fromCoroutine(incoming.commit(envelope)), StoreError)
        self.assertEqual((self.store.abandoned, self.store.messages), (1, []))
