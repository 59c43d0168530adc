"""Relaying: refused for unauthenticated clients, allowed for trusted hosts; aliases may lead outside for all."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.interfaces import Account, IDelivery
from emailsys.interfaces.operators import AdminError, IQuotas, Usage
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Addressee, Client, LocalRoute, RemoteRoute, Route
from emailsys.mail.networks import Networks
from emailsys.mail.reply import (
    BOUNCES_ONLY,
    FORGED_SENDER,
    MAILBOX_FULL_NOW,
    NO_SUCH_MAILBOX,
    RELAY_DENIED,
    SENDER_NOT_YOURS,
    Reply,
)
from emailsys.policy.access import Access, Delivery
from emailsys.policy.expansion import AliasRouter
from tests.fakes.store.memory_store import MemoryStore
from tests.unit.policy.test_expansion import Aliases, RestoreOne

BOB = parse("bob@away.test")


@implementer(IQuotas)
class Quotas:
    """Quotas with full maildrops and full domains."""

    def __init__(self) -> None:
        self.full: set[int] = set()
        self.domain = Usage(0, 0)

    async def usage(self, account_id: int) -> tuple[Usage, Usage]:
        return Usage(100 if account_id in self.full else 99, 100), self.domain

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        raise AdminError("not here")


class Relaying(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = store = MemoryStore()
        self.alice = store.seed_account("alice@home.test")
        self.aliases = Aliases()
        self.aliases.add("team@home.test", "alice@home.test", "bob@away.test")
        self.quotas = Quotas()
        self.router = AliasRouter(store.directory, self.aliases, srs=RestoreOne())

    def delivery(self, account: Account | None = None) -> Delivery:
        relay_domains = frozenset({"partner.test"})
        networks = Networks(["192.0.2.0/24"])
        access = Access(self.router, "mail.home.test", networks, self.quotas, relay_domains=relay_domains)
        return Delivery(access, account)

    def rcpt(
        self, to: str, account: Account | None = None, ip: str = "203.0.113.1", sender: Address | None = None
    ) -> Sequence[Route] | Reply:
        asked = Addressee(parse(to), Client("s1", ip, "client"), sender)
        return self.successResultOf(Deferred.fromCoroutine(self.delivery(account).validateTo(asked)))

    def mail(self, sender: Address, account: Account) -> Reply | None:
        client = Client("s1", "203.0.113.1", "client")
        return self.successResultOf(Deferred.fromCoroutine(self.delivery(account).validateFrom(client, sender)))

    def test_the_avatar_implements_its_interface(self) -> None:
        self.assertTrue(verifyObject(IDelivery, self.delivery()))

    def test_a_stranger_may_not_relay(self) -> None:
        self.assertEqual(self.rcpt("bob@away.test"), RELAY_DENIED)
        self.assertEqual(self.rcpt("nobody@home.test"), NO_SUCH_MAILBOX)

    def test_an_account_and_a_trusted_printer_may(self) -> None:
        self.assertEqual(self.rcpt("bob@away.test", self.alice), (RemoteRoute(BOB),))
        self.assertEqual(self.rcpt("bob@away.test", ip="192.0.2.77"), (RemoteRoute(BOB),))

    def test_anybody_may_send_to_a_relay_domain(self) -> None:
        self.assertEqual(self.rcpt("bob@Partner.test"), (RemoteRoute(parse("bob@Partner.test")),))
        self.assertEqual(self.rcpt("bob@sub.partner.test"), RELAY_DENIED)

    def test_an_alias_leads_outside_for_everybody(self) -> None:
        both = (LocalRoute(self.alice.account_id), RemoteRoute(BOB, forwarded=True))
        self.assertEqual(self.rcpt("team@home.test"), both)

    def test_a_bounce_finds_the_way_back_through_us(self) -> None:
        self.assertEqual(self.rcpt("SRS0=x@home.test"), (RemoteRoute(parse("eve@elsewhere.test")),))

    def test_a_rewritten_sender_takes_bounces_only(self) -> None:
        """Whoever has seen such an address could otherwise relay to its owner through this system."""
        for account in (None, self.alice):
            self.assertEqual(self.rcpt("SRS0=x@home.test", account, sender=BOB), BOUNCES_ONLY)
        self.assertEqual(self.rcpt("srs0-like@home.test", sender=BOB), NO_SUCH_MAILBOX)
        theirs = "SRS0=x@away.test"
        self.assertEqual(self.rcpt(theirs, self.alice, sender=BOB), (RemoteRoute(parse(theirs)),))

    def test_a_rewritten_sender_may_come_back_from_others(self) -> None:
        """Another system forwards mail back that was forwarded from here."""
        client = Client("s1", "203.0.113.1", "client")
        for path, refusal in (("SRS0=x@home.test", None), ("SRS1=x@home.test", FORGED_SENDER)):
            asked = self.delivery().validateFrom(client, parse(path))
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(asked)), refusal)

    def test_a_full_mailbox_takes_nothing_for_now(self) -> None:
        """452 4.2.2 for each of its addresses. Mail for other recipients is accepted."""
        self.assertTrue(verifyObject(IQuotas, self.quotas))
        self.quotas.full.add(self.alice.account_id)
        self.assertEqual(self.rcpt("alice@home.test"), MAILBOX_FULL_NOW)
        full = LocalRoute(self.alice.account_id, is_full=True)
        self.assertEqual(self.rcpt("team@home.test"), (full, RemoteRoute(BOB, forwarded=True)))
        self.assertEqual(self.rcpt("bob@away.test", self.alice), (RemoteRoute(BOB),))

    def test_an_alias_whose_members_are_all_full_takes_nothing(self) -> None:
        """Their mail cannot be put off one by one, so the sender keeps it."""
        bob = self.store.seed_account("bob@home.test")
        self.quotas.full.update((self.alice.account_id, bob.account_id))
        self.aliases.add("pair@home.test", "alice@home.test", "bob@home.test")
        self.assertEqual(self.rcpt("pair@home.test"), MAILBOX_FULL_NOW)

    def test_postmaster_and_abuse_are_taken_when_their_reader_is_full(self) -> None:
        """RFC 5321 §4.5.1, RFC 2142 §4. Who cannot reach a system by mail needs these addresses most."""
        self.quotas.full.add(self.alice.account_id)
        for path in ("postmaster@home.test", "Abuse@home.test"):
            self.assertEqual(self.rcpt(path), (LocalRoute(self.alice.account_id),))

    def test_a_full_domain_refuses_mail_for_an_empty_maildrop(self) -> None:
        """The mailbox itself may be nearly empty."""
        self.quotas.domain = Usage(7, 7)
        self.assertEqual(self.rcpt("alice@home.test"), MAILBOX_FULL_NOW)

    def test_a_member_of_an_alias_may_send_from_it(self) -> None:
        self.assertIsNone(self.mail(parse("team@home.test"), self.alice))
        self.assertEqual(self.mail(BOB, self.alice), SENDER_NOT_YOURS)
