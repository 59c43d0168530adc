"""Access rules: who may send as whom and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.mail import smtp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import ForgedFrom, ForgedSender
from emailsys.interfaces import Account, IDelivery
from emailsys.mail import reply
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.message.headers import HeaderSection
from emailsys.mail.message.identity import read_identity
from emailsys.mail.networks import Networks
from emailsys.mail.reply import Reply
from emailsys.policy.access import Access, Delivery
from emailsys.policy.routing import Router
from tests.fakes.store.memory_store import MemoryStore


class DeliveryTestCase(SynchronousTestCase):
    """A system with alice and bob."""

    def setUp(self) -> None:
        self.store = MemoryStore(Clock())
        self.alice = self.store.seed_account("alice@example.test")
        self.bob = self.store.seed_account("bob@example.test")
        self.router = Router(self.store.directory)
        self.access = Access(self.router, "mail.example.test")
        self.client = Client("s1", "203.0.113.9", "client.example", local_ip="192.0.2.1")

    def delivery(self, account: Account | None) -> Delivery:
        return Delivery(self.access, account)

    def examined(self, account: Account | None, *authors: str) -> bytes | Reply:
        """The answer to a message with these authors, from carol@example.org."""
        delivery = self.delivery(account)
        self.successResultOf(Deferred.fromCoroutine(delivery.validateFrom(self.client, parse("carol@example.org"))))
        return delivery.examine(self.client, frozenset(parse(author).key[1] for author in authors))

    def sender(self, account: Account | None, text: str) -> Reply | None:
        origin = parse(text) if text else None
        return self.successResultOf(Deferred.fromCoroutine(self.delivery(account).validateFrom(self.client, origin)))

    def recipient(self, account: Account | None, path: Address) -> Sequence[Route] | Reply:
        addressee = Addressee(path, self.client, None)
        return self.successResultOf(Deferred.fromCoroutine(self.delivery(account).validateTo(addressee)))


class StrangerTests(DeliveryTestCase):
    """Unauthenticated clients on port 25 may send to local addresses only."""

    def test_the_avatar_provides_twisteds_interface_and_idelivery(self) -> None:
        """The avatar provides IDelivery and twisted.mail's interface."""
        self.assertTrue(verifyObject(IDelivery, self.delivery(None)))
        self.assertTrue(verifyObject(smtp.IMessageDelivery, self.delivery(None)))

    def test_a_stranger_uses_any_reverse_path_of_other_systems(self) -> None:
        """This includes the null reverse-path of bounces."""
        for text in ("", "carol@example.org", "alice@sub.example.test", "alice@[192.0.2.2]"):
            self.assertIsNone(self.sender(None, text))

    def test_a_stranger_cannot_use_a_reverse_path_of_ours(self) -> None:
        # RCPT takes an address literal of this host as an address of ours, too.
        for text in ("alice@example.test", "nobody@EXAMPLE.test", "alice@[192.0.2.1]", "alice@[IPv6:::ffff:192.0.2.1]"):
            self.assertEqual(self.sender(None, text), reply.FORGED_SENDER, text)
        self.access = replace(self.access, forged_sender=ForgedSender.ACCEPT)
        self.assertIsNone(self.sender(None, "alice@example.test"))

    def test_a_stranger_who_writes_as_one_of_us_is_marked(self) -> None:
        """By a field that says so, or refused, or neither: as the setting is."""
        mark = (
            b"Authentication-Results: mail.example.test;\r\n"
            b"\tauth=none (From is an address of this system, but the client did not log in)\r\n"
        )
        answers = {ForgedFrom.MARK: mark, ForgedFrom.REFUSE: reply.FORGED_FROM, ForgedFrom.ACCEPT: b""}
        for setting, ours in answers.items():
            self.access = replace(self.access, forged_from=setting)
            self.assertEqual(self.examined(None, "a@example.org", "Nobody@Example.test"), ours)
            self.assertEqual(self.examined(None, "a@example.org", "alice@[192.0.2.1]"), ours)
            self.assertEqual(self.examined(None, "a@example.org", "alice@[192.0.2.2]"), b"")
            self.assertEqual(self.examined(None), b"")

    def test_a_trusted_host_and_an_account_are_not_strangers(self) -> None:
        self.assertEqual(self.examined(self.alice, "alice@example.test"), b"")
        self.access = replace(self.access, trusted=Networks(["203.0.113.0/24"]))
        self.assertIsNone(self.sender(None, "alice@example.test"))
        self.assertEqual(self.examined(None, "alice@example.test"), b"")

    def test_without_a_domain_the_recipient_is_delayed_and_not_the_sender(self) -> None:
        """Otherwise no operator would learn from the log for whom the mail was."""
        self.access = replace(self.access, router=Router(MemoryStore(Clock()).directory))
        self.assertIsNone(self.sender(None, "alice@example.test"))

    def test_mail_for_our_users_is_taken(self) -> None:
        """Addresses with and without +tag, and address literals of this host."""
        for text in ("alice@example.test", "alice+tag@example.test", "alice@[192.0.2.1]"):
            self.assertEqual(self.recipient(None, parse(text)), (LocalRoute(self.alice.account_id),))

    def test_postmaster_is_always_taken(self) -> None:
        """RFC 5321 §4.5.1."""
        for path in (Address("Postmaster", ""), parse("postmaster@example.test"), parse("postmaster@[192.0.2.1]")):
            self.assertEqual(self.recipient(None, path), (LocalRoute(self.alice.account_id),))

    def test_an_unknown_user_is_refused_with_550_5_1_1(self) -> None:
        """The reply to RCPT refuses the user, not a later bounce."""
        refused = self.recipient(None, parse("nobody@example.test"))
        self.assertEqual(refused, reply.NO_SUCH_MAILBOX)
        self.assertEqual((reply.NO_SUCH_MAILBOX.code, reply.NO_SUCH_MAILBOX.enhanced), (550, "5.1.1"))

    def test_no_relay_for_strangers(self) -> None:
        """The form of the address does not matter (RFC 5321 §7.1): percent hack, bang path, quoted at sign."""
        for text in (
            "carol@example.org",
            "carol@example.test.example.org",
            "alice@[203.0.113.9]",
        ):
            refused = self.recipient(None, parse(text))
            self.assertEqual(refused, reply.RELAY_DENIED)
        self.assertEqual((reply.RELAY_DENIED.code, reply.RELAY_DENIED.enhanced), (550, "5.7.1"))
        for text in (
            "carol%example.org@example.test",
            "example.org!carol@example.test",
            '"c@example.org"@example.test',
        ):
            self.assertEqual(self.recipient(None, parse(text)), reply.NO_SUCH_MAILBOX)

    def test_a_disabled_account_still_gets_its_mail(self) -> None:
        """A disabled account cannot log in, but receives mail."""
        self.successResultOf(Deferred.fromCoroutine(self.store.accounts.set_enabled(parse("bob@example.test"), False)))
        self.assertEqual(self.recipient(None, parse("bob@example.test")), (LocalRoute(self.bob.account_id),))


class IdentityTests(DeliveryTestCase):
    """The header section may name only authors and senders that the account may use."""

    def refusal(self, fields: str, origin: str = "alice@example.test", account: Account | None = None) -> Reply | None:
        section = HeaderSection(fields.replace("\n", "\r\n").encode())
        delivery = self.delivery(account or self.alice)
        reverse_path = parse(origin) if origin else None
        return self.successResultOf(
            Deferred.fromCoroutine(delivery.validate_identity(self.client, reverse_path, read_identity(section)))
        )

    def delegate(self, *senders: Address) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.store.delegated_senders.allow(self.alice.address, senders)))

    def test_an_account_writes_in_its_own_name(self) -> None:
        for fields in (
            "From: Alice <Alice@example.test>\n",
            "From: alice+shop@example.test\n",
            "From: postmaster@example.test\n",
            "From: alice@example.test\nSender: alice@example.test\n",
            "From: bob@example.test\nSender: alice@example.test\n",
            "From: bob@example.test, alice@example.test\nSender: alice@example.test\n",
        ):
            self.assertIsNone(self.refusal(fields), fields)

    def test_from_and_sender_must_be_addresses_of_the_account(self) -> None:
        """Neither of a colleague nor of a stranger, and whatever the name in front of the address is."""
        for fields in (
            "From: bob@example.test\n",
            "From: alice@example.test <bob@example.test>\n",
            "From: ceo@example.org\n",
            "From: alice@example.test, bob@example.test\n",
            "From: nobody@example.test\n",
        ):
            refused = self.refusal(fields)
            assert refused is not None
            self.assertEqual((refused.code, refused.enhanced), (550, "5.7.1"), fields)
            self.assertIn("in From", refused.text)
        refused = self.refusal("From: alice@example.test\nSender: bob@example.test\n")
        self.assertEqual(refused, reply.not_yours("Sender", "bob@example.test"))

    def test_exactly_one_from_is_needed(self) -> None:
        for fields in ("", "To: bob@example.test\n", "From: alice@example.test\n" * 2, "From: <>\n"):
            self.assertEqual(self.refusal(fields), reply.FROM_MALFORMED, fields)
        for sender in ("Sender: alice@example.test\n" * 2, "Sender: alice@example.test, bob@example.test\n"):
            self.assertEqual(self.refusal("From: alice@example.test\n" + sender), reply.SENDER_MALFORMED, sender)

    def test_the_null_reverse_path_is_for_reports(self) -> None:
        """A read receipt (RFC 8098 §2.1), but no other mail."""
        fields = "From: alice@example.test\nContent-Type: multipart/{}; boundary=x\n"
        self.assertIsNone(self.refusal(fields.format("report"), origin=""))
        self.assertEqual(self.refusal(fields.format("mixed"), origin=""), reply.REPORTS_ONLY)
        self.assertIsNone(self.refusal(fields.format("mixed")))

    def test_a_delegated_address_is_as_good_as_an_own_one(self) -> None:
        """An address, with its +tags; or a domain. Of this system or another."""
        self.delegate(parse("bob@example.test"), Address("", "Example.ORG"))
        for text in ("Bob@example.test", "bob+x@example.test", "anybody@example.org"):
            self.assertIsNone(self.refusal(f"From: {text}\n"), text)
            self.assertIsNone(self.sender(self.alice, text), text)
        for text in ("bobby@example.test", "a@sub.example.org"):
            self.assertIsNotNone(self.refusal(f"From: {text}\n"), text)
            self.assertEqual(self.sender(self.alice, text), reply.SENDER_NOT_YOURS)
        refused = self.refusal("From: alice@example.test\n", origin="bob@example.test", account=self.bob)
        self.assertEqual(refused, reply.not_yours("From", "alice@example.test"))

    def test_a_gateway_is_not_restricted(self) -> None:
        self.delegate(Address("", ""))
        self.assertIsNone(self.sender(self.alice, "carol@example.org"))
        for fields, origin in (("From: carol@example.org\n", "carol@example.org"), ("", "")):
            self.assertIsNone(self.refusal(fields, origin))

    def test_an_unauthenticated_client_is_not_asked(self) -> None:
        identity = read_identity(HeaderSection(b""))
        refused = self.delivery(None).validate_identity(self.client, None, identity)
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(refused)))


class SubmissionTests(DeliveryTestCase):
    """An account may send only from its own addresses."""

    def test_an_account_sends_from_its_own_addresses(self) -> None:
        """In any letter case, with +tag, and with the null reverse-path of read receipts (RFC 8098 §2.1)."""
        for text in (
            "alice@example.test",
            "Alice@Example.TEST",
            "alice+shop@example.test",
            "postmaster@example.test",
            "",
        ):
            self.assertIsNone(self.sender(self.alice, text), text)

    def test_a_reverse_path_of_another_account_is_refused(self) -> None:
        """553 5.7.1 for a colleague's address, a remote one and one that does not exist."""
        for text in ("bob@example.test", "bob+alice@example.test", "alice@example.org", "nobody@example.test"):
            self.assertEqual(self.sender(self.alice, text), reply.SENDER_NOT_YOURS, text)
        self.assertEqual(self.sender(self.bob, "postmaster@example.test"), reply.SENDER_NOT_YOURS)
        self.assertEqual((reply.SENDER_NOT_YOURS.code, reply.SENDER_NOT_YOURS.enhanced), (553, "5.7.1"))

    def test_a_session_does_not_outlive_its_account(self) -> None:
        """An account that is disabled because its password leaked can send no more mail."""
        accounts, bob = self.store.accounts, parse("bob@example.test")
        for enabled, refused in ((False, reply.ACCOUNT_CLOSED), (True, None)):
            self.successResultOf(Deferred.fromCoroutine(accounts.set_enabled(bob, enabled)))
            for text in ("bob@example.test", ""):
                self.assertEqual(self.sender(self.bob, text), refused, text)
        self.successResultOf(Deferred.fromCoroutine(accounts.remove_user(bob, True)))
        for text in ("bob@example.test", ""):
            self.assertEqual(self.sender(self.bob, text), reply.ACCOUNT_CLOSED, text)
        self.store.seed_account("bob@example.test")
        self.assertEqual(self.sender(self.bob, ""), reply.ACCOUNT_CLOSED)

    def test_mail_to_other_systems_is_taken(self) -> None:
        """The queue delivers it."""
        carol = parse("carol@example.org")
        self.assertEqual(self.recipient(self.alice, carol), (RemoteRoute(carol),))

    def test_mail_to_colleagues_is_taken(self) -> None:
        """An unknown local recipient is refused."""
        self.assertEqual(self.recipient(self.alice, parse("bob@example.test")), (LocalRoute(self.bob.account_id),))
        self.assertEqual(self.recipient(self.alice, parse("nobody@example.test")), reply.NO_SUCH_MAILBOX)

    def test_the_received_field_names_this_host(self) -> None:
        """The field also describes the client."""
        arrival = Arrival("q1", parse("alice@example.test"), datetime(2026, 1, 1, tzinfo=UTC))
        recipients = [Recipient(parse("bob@example.test"), (LocalRoute(self.bob.account_id),))]
        field = self.delivery(self.alice).receivedHeader(self.client, arrival, recipients)
        self.assertTrue(field.startswith(b"Received: from client.example ([203.0.113.9])"), field)
        self.assertIn(b"by mail.example.test", field)
        self.assertTrue(field.endswith(b"\r\n"))
