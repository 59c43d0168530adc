"""Routing without aliases."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.interfaces import Account, IDirectory, Login, NoDomains
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.routing import Router
from tests.fakes.store.memory_store import MemoryStore


class RouterTests(SynchronousTestCase):
    """The exact address comes first, then the address without +tag. Other domains are remote."""

    def setUp(self) -> None:
        store = MemoryStore(Clock())
        # Postmaster of each domain is its first account.
        self.root = LocalRoute(store.seed_account("root@example.test").account_id)
        self.alice = LocalRoute(store.seed_account("alice@example.test").account_id)
        self.list = LocalRoute(store.seed_account("alice+list@example.test").account_id)
        self.bob = LocalRoute(store.seed_account("bob@example.net").account_id)
        self.directory = store.directory
        self.router = Router(self.directory, ["192.0.2.1", "2001:db8::1", "mail.example.test"])

    def routes(self, path: Address, local_ip: str = "") -> tuple[Route, ...]:
        return self.successResultOf(Deferred.fromCoroutine(self.router.resolve(path, local_ip)))

    def assertRoutes(self, text: str, *routes: Route, local_ip: str = "") -> None:
        path = Address("postmaster", "") if text.casefold() == "postmaster" else parse(text)
        self.assertEqual(self.routes(path, local_ip), routes, text)

    def test_addresses_of_this_system_compare_without_case(self) -> None:
        """Both local part and domain ignore case."""
        for text in ("alice@example.test", "ALICE@example.test", "Alice@EXAMPLE.Test", '"alice"@example.test'):
            self.assertRoutes(text, self.alice)

    def test_a_tag_is_left_off(self) -> None:
        """RFC 5233: the tag begins after the first plus sign."""
        for text in ("alice+shop@example.test", "alice+a+b@example.test", "Alice+@example.test"):
            self.assertRoutes(text, self.alice)

    def test_the_very_address_comes_before_the_tag(self) -> None:
        """An account may have a plus sign in its name."""
        self.assertRoutes("alice+list@example.test", self.list)
        self.assertRoutes("Alice+LIST@example.test", self.list)

    def test_an_unknown_local_address_has_no_route(self) -> None:
        """A tag without a user does not exist either."""
        for text in ("nobody@example.test", "+tag@example.test", "bob@example.test", "nobody+tag@example.test"):
            self.assertRoutes(text)

    def test_other_domains_go_out_with_their_local_part_as_it_is(self) -> None:
        """A remote local part keeps its letter case."""
        for text in ("Carol@example.org", "alice@sub.example.test", "alice@[203.0.113.9]"):
            self.assertRoutes(text, RemoteRoute(parse(text)))

    def test_postmaster_is_found_with_and_without_domain(self) -> None:
        """RFC 5321 §4.5.1: in any letter case, at any local domain."""
        self.assertRoutes("Postmaster", self.root)
        self.assertRoutes("postmaster@example.test", self.root)
        self.assertRoutes("POSTMASTER@example.net", self.bob)
        self.assertRoutes("postmaster+x@example.test", self.root)

    def test_a_domain_whose_postmaster_is_gone_has_that_of_the_default_domain(self) -> None:
        """Mail about an administrator's mistake does not bounce."""
        directory = Emptied(self.directory, "example.net")
        self.assertTrue(verifyObject(IDirectory, directory))
        self.router = Router(directory)
        self.assertRoutes("postmaster@example.net", self.root)
        self.assertRoutes("abuse@example.net")

    def test_without_any_domain_nothing_is_said_of_anybody(self) -> None:
        """A system before its first `domain add`, or with the wrong store."""
        self.router = Router(MemoryStore(Clock()).directory)
        for text in ("postmaster", "postmaster@example.test", "x@[192.0.2.1]", "x@[192.0.2.99]"):
            path = Address(text, "") if text == "postmaster" else parse(text)
            self.failureResultOf(Deferred.fromCoroutine(self.router.resolve(path)), NoDomains)

    def test_no_other_name_goes_without_domain(self) -> None:
        """RFC 5321 §4.5.1 allows only postmaster."""
        self.assertEqual(self.routes(Address("alice", "")), ())

    def test_an_address_literal_of_ours_is_the_default_domain(self) -> None:
        """The configured addresses, and the one that the client is connected to, in any notation."""
        for text in ("alice@[192.0.2.1]", "alice@[IPv6:2001:db8::1]", "alice+x@[IPv6:2001:DB8:0:0::1]"):
            self.assertRoutes(text, self.alice)
        self.assertRoutes("postmaster@[192.0.2.1]", self.root)
        for local_ip in ("203.0.113.9", "::ffff:203.0.113.9"):
            self.assertRoutes("alice@[203.0.113.9]", self.alice, local_ip=local_ip)
        self.assertRoutes("alice@[IPv6:fe80::1]", self.alice, local_ip="fe80::1%eth0")
        self.assertRoutes("nobody@[192.0.2.1]")

    def test_a_literal_that_is_no_ip_address_is_not_ours(self) -> None:
        """This includes the general form of RFC 5321 §4.1.3, and a connection without an IP address."""
        self.assertRoutes("alice@[x400:abc]", RemoteRoute(parse("alice@[x400:abc]")))

    def test_a_domain_in_letters_or_in_a_labels_is_the_same(self) -> None:
        """RFC 5890."""
        store = MemoryStore(Clock())
        account = store.seed_account("jörg@bücher.example")
        self.router = Router(store.directory)
        for text in ("jörg@bücher.example", "JÖRG@xn--bcher-kva.example", "jo\u0308rg+x@BÜCHER.example"):
            self.assertRoutes(text, LocalRoute(account.account_id))


@implementer(IDirectory)
class Emptied:
    """A directory in which one domain has no addresses."""

    def __init__(self, directory: IDirectory, domain: str) -> None:
        self._directory, self._domain = directory, domain

    async def is_local_domain(self, domain_key: str) -> bool:
        return await self._directory.is_local_domain(domain_key)

    async def local_domains(self) -> frozenset[str]:
        return await self._directory.local_domains()

    async def default_domain(self) -> str:
        return await self._directory.default_domain()

    async def find_address(self, local_key: str, domain_key: str) -> Account | None:
        if domain_key == self._domain:
            return None
        return await self._directory.find_address(local_key, domain_key)

    async def delegated_senders(self, account_id: int) -> frozenset[tuple[str, str]]:
        return await self._directory.delegated_senders(account_id)

    async def find_login(self, name_key: tuple[str, str]) -> Login | None:
        return await self._directory.find_login(name_key)
