"""Contract of every store: aliases, routes, quotas, and queue operations."""

from __future__ import annotations

from dataclasses import replace

from zope.interface.verify import verifyObject

from emailsys.interfaces import IAliases, Settlement
from emailsys.interfaces.operators import (
    AdminError,
    AliasRow,
    IAliasAdministration,
    IDelegatedSenders,
    IQueueOperations,
    IQuotas,
    IRouteAdministration,
    QueueChange,
    QueueFilter,
    RowState,
    Usage,
)
from emailsys.mail.address import Address
from emailsys.mail.next_hop import HostLogin, HostRoute, NextHop, TLSPolicy
from tests.contract.mail import ALICE, ARRIVED, BOB, CAROL, MailCase, envelope, local, remote

SALES = Address("Sales", "example.test")
CATCH_ALL = Address("", "example.test")
ZOE = Address("zoe", "elsewhere.example")
DAVE = Address("dave", "example.net")
ERIN = Address("erin", "other.example")
ALL = QueueFilter()


class AliasContract(MailCase):
    """Aliases."""

    async def targets(self, name: Address) -> list[Address]:
        return list(await self.store.directory.targets(*name.key))

    async def test_the_store_implements_its_interfaces(self) -> None:
        verifyObject(IAliases, self.store.directory)
        verifyObject(IAliasAdministration, self.store.aliases)
        verifyObject(IDelegatedSenders, self.store.delegated_senders)
        verifyObject(IRouteAdministration, self.store.routes)
        verifyObject(IQuotas, self.store.quotas)
        verifyObject(IQueueOperations, self.store.queue_operations)

    async def test_an_alias_stands_for_many_here_and_elsewhere_in_their_order(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(SALES, [ZOE, BOB, ALICE])
        self.assertEqual(await self.targets(Address("sales", "EXAMPLE.test")), [ZOE, BOB, ALICE])
        await self.store.aliases.set_alias(SALES, [ALICE])
        self.assertEqual(await self.targets(SALES), [ALICE])

    async def test_an_alias_is_not_found_as_an_account(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(Address("alice+news", "example.test"), [BOB])
        self.assertIsNone(await self.store.directory.find_address("alice+news", "example.test"))
        self.assertEqual(await self.targets(Address("alice+news", "example.test")), [BOB])
        self.assertEqual(await self.targets(ALICE), [])

    async def test_a_removed_alias_has_no_targets(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(SALES, [ALICE])
        self.assertEqual(await self.targets(SALES), [ALICE])
        await self.store.aliases.remove_alias(SALES)
        self.assertEqual(await self.targets(SALES), [])
        await self.refused(AdminError, self.store.aliases.remove_alias(SALES))

    async def test_targets_come_and_go_one_by_one_and_with_the_last_the_alias(self) -> None:
        await self.users()
        aliases = self.store.aliases
        self.assertEqual(await aliases.add_targets(SALES, [BOB]), AliasRow(SALES, (BOB,)))
        self.assertEqual((await aliases.add_targets(SALES, [ZOE, BOB, ALICE])).targets, (BOB, ZOE, ALICE))
        self.assertEqual(await self.targets(SALES), [BOB, ZOE, ALICE])
        self.assertEqual((await aliases.remove_targets(SALES, [BOB, ALICE])).targets, (ZOE,))
        await self.refused(AdminError, aliases.remove_targets(SALES, [BOB]))
        self.assertEqual(await self.targets(SALES), [ZOE])
        self.assertEqual((await aliases.remove_targets(SALES, [ZOE])).targets, ())
        self.assertEqual(await self.targets(SALES), [])
        await self.refused(AdminError, aliases.remove_alias(SALES))
        await self.refused(AdminError, aliases.add_targets(ALICE, [BOB]))

    async def test_postmaster_keeps_one_reader_and_may_get_more(self) -> None:
        await self.users()
        postmaster = Address("postmaster", "example.test")
        await self.store.aliases.add_targets(postmaster, [BOB])
        self.assertEqual(await self.targets(postmaster), [ALICE, BOB])
        await self.refused(AdminError, self.store.aliases.remove_targets(postmaster, [ALICE, BOB]))
        await self.store.aliases.remove_targets(postmaster, [ALICE])
        found = await self.store.directory.find_address(*postmaster.key)
        self.assertEqual(found.address, BOB)

    async def test_a_target_that_has_gone_does_not_keep_the_others_from_changing(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(SALES, [BOB, ALICE])
        await self.store.accounts.remove_user(BOB, True)
        self.assertEqual((await self.store.aliases.add_targets(SALES, [ZOE])).targets, (BOB, ALICE, ZOE))
        self.assertEqual((await self.store.aliases.remove_targets(SALES, [ALICE])).targets, (BOB, ZOE))

    async def test_the_catch_all_is_the_alias_without_a_name(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(CATCH_ALL, [BOB])
        self.assertEqual(await self.targets(CATCH_ALL), [BOB])
        (first, *_rest) = await self.store.aliases.list_aliases("example.test")
        self.assertEqual(first, AliasRow(CATCH_ALL, (BOB,)))

    async def test_postmaster_may_have_many_targets_but_not_none(self) -> None:
        await self.users()
        postmaster = Address("postmaster", "example.test")
        found = await self.store.directory.find_address(*postmaster.key)
        self.assertEqual(found.address, ALICE)
        await self.store.aliases.set_alias(postmaster, [ALICE, ZOE])
        self.assertIsNone(await self.store.directory.find_address(*postmaster.key))
        self.assertEqual(await self.targets(postmaster), [ALICE, ZOE])
        await self.refused(AdminError, self.store.aliases.remove_alias(postmaster))

    async def test_an_alias_without_known_targets_or_a_free_name_is_refused(self) -> None:
        await self.users()
        for name, targets in (
            (ALICE, [BOB]),
            (SALES, [SALES]),
            (SALES, []),
            (SALES, [Address("nobody", "example.test")]),
            (Address("sales", "unknown.test"), [ALICE]),
        ):
            await self.refused(AdminError, self.store.aliases.set_alias(name, targets))
        await self.store.aliases.set_alias(SALES, [Address("alice+sales", "example.test")])
        await self.store.aliases.set_alias(Address("all", "example.test"), [SALES, BOB])

    async def test_delegated_senders_come_and_go_and_end_with_their_account(self) -> None:
        await self.users()
        delegated, directory = self.store.delegated_senders, self.store.directory
        domain, anybody = Address("", "Other.example"), Address("", "")
        bob = await directory.find_address(*BOB.key)
        self.assertEqual(await directory.delegated_senders(bob.account_id), frozenset())
        self.assertEqual(await delegated.allow(BOB, [domain, ALICE, ALICE]), [ALICE, domain])
        self.assertEqual(await delegated.allow(BOB, [anybody, ALICE]), [anybody, ALICE, domain])
        self.assertEqual(await directory.delegated_senders(bob.account_id), {("", ""), domain.key, ALICE.key})
        await self.refused(AdminError, delegated.forbid(BOB, [ALICE, ZOE]))
        self.assertEqual(await delegated.senders(BOB), [anybody, ALICE, domain])
        self.assertEqual(await delegated.forbid(BOB, [anybody, domain]), [ALICE])
        self.assertEqual(await delegated.senders(ALICE), [])
        await self.store.accounts.remove_user(BOB, True)
        self.assertEqual(await directory.delegated_senders(bob.account_id), frozenset())
        for change in (delegated.allow, delegated.forbid):
            await self.refused(AdminError, change(BOB, [ALICE]))
        await self.refused(AdminError, delegated.senders(BOB))

    async def test_an_account_cannot_take_the_name_of_an_alias(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(SALES, [ALICE])
        await self.refused(AdminError, self.store.accounts.add_user(SALES, []))

    async def test_domains_are_listed_once_however_many_their_postmasters(self) -> None:
        await self.users()
        await self.store.aliases.set_alias(Address("postmaster", "example.test"), [ALICE, BOB])
        self.assertEqual(len(await self.store.accounts.list_domains()), 1)


class RouteContract(MailCase):
    """Routes and quotas."""

    async def test_a_route_is_kept_with_all_that_it_says(self) -> None:
        login = HostLogin("me", "secret")
        hop = NextHop("smtp.provider.example", 587, False, TLSPolicy.VERIFIED, False, login, "provider.example")
        hop = replace(hop, certificate_fingerprint="0f" * 32)
        await self.store.routes.set_route(HostRoute(hop))
        plain = HostRoute(NextHop("[192.0.2.1]", 2525, False, implicit_tls=True), "partner.example", "example.test")
        await self.store.routes.set_route(plain)
        self.assertEqual(list(await self.store.routes.routes()), [HostRoute(hop), plain])
        self.assertNotIn("secret", repr(await self.store.routes.routes()))

    async def test_a_route_for_the_same_domains_replaces_the_one_before(self) -> None:
        for name in ("one.example", "two.example"):
            await self.store.routes.set_route(HostRoute(NextHop(name, by_mx=False), "partner.example"))
        (route,) = await self.store.routes.routes()
        self.assertEqual(route.next_hop.name, "two.example")
        await self.store.routes.remove_route("PARTNER.example", "")
        self.assertEqual(list(await self.store.routes.routes()), [])
        await self.refused(AdminError, self.store.routes.remove_route("partner.example", ""))

    async def test_without_a_bound_nothing_is_counted(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x" * 100, envelope(local(alice)))
        self.assertEqual(await self.store.quotas.usage(alice.account_id), (Usage(0, 0), Usage(0, 0)))

    async def test_a_quota_counts_delivered_mail_at_once_and_deleted_mail_no_more(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, 1200)
        self.assertEqual((await self.store.quotas.usage(alice.account_id))[0], Usage(0, 1200))
        await self.send(b"x" * 900, envelope(local(alice)))
        (usage, _) = await self.store.quotas.usage(alice.account_id)
        self.assertEqual(usage.octets, (await self.open(alice)).listMessages(0))
        self.assertGreater(usage.share, 0.75)
        (row,) = [row for row in await self.store.accounts.list_users(None) if row.address == ALICE]
        self.assertEqual((row.octets, row.quota), (usage.octets, 1200))

    async def test_a_domain_is_bounded_as_a_whole(self) -> None:
        alice, bob = await self.users()
        await self.store.quotas.set_quota("example.test", 5000)
        await self.send(b"x" * 900, envelope(local(alice), local(bob)))
        (account, domain) = await self.store.quotas.usage(bob.account_id)
        self.assertEqual(account, Usage(0, 0))
        self.assertEqual(domain.limit, 5000)
        self.assertGreater(domain.octets, 1800)
        await self.store.quotas.set_quota("example.test", 0)
        self.assertEqual((await self.store.quotas.usage(bob.account_id))[1].share, 0.0)

    async def test_a_quota_for_an_unknown_user_or_domain_is_refused(self) -> None:
        await self.refused(AdminError, self.store.quotas.set_quota(ALICE, 1))
        await self.refused(AdminError, self.store.quotas.set_quota("example.test", 1))


class QueueOperationsContract(MailCase):
    """Queue operations."""

    async def fill(self) -> list[str]:
        """Send a message to dave and erin, and a bounce to dave."""
        first = await self.send(b"one\r\n", envelope(remote(DAVE), remote(ERIN)))
        second = await self.send(b"two\r\n", envelope(remote(DAVE), reverse_path=None))
        return [first, second]

    async def chosen(self, which: QueueFilter) -> list[tuple[str, str]]:
        entries = await self.store.queue_operations.entries(which, 100)
        return [(entry.queue_id, entry.forward_path.local) for entry in entries]

    async def test_each_filter_finds_what_it_says(self) -> None:
        first, second = await self.fill()
        dave, erin, bounce = (first, "dave"), (first, "erin"), (second, "dave")
        self.assertEqual(await self.chosen(ALL), [dave, erin, bounce])
        self.assertEqual(await self.chosen(QueueFilter(queue_ids=(second,))), [bounce])
        self.assertEqual(await self.chosen(QueueFilter(domain="EXAMPLE.net")), [dave, bounce])
        self.assertEqual(await self.chosen(QueueFilter(sender="<>")), [bounce])
        self.assertEqual(await self.chosen(QueueFilter(sender=str(CAROL))), [dave, erin])
        self.assertEqual(await self.chosen(QueueFilter(sender="example.org", domain="other.example")), [erin])
        self.assertEqual(await self.chosen(QueueFilter(state=RowState.HELD)), [])
        self.assertEqual(await self.chosen(QueueFilter(queue_ids=("no such",))), [])

    async def test_age_counts_from_the_arrival(self) -> None:
        await self.fill()
        # The clock of the store is at midnight. The messages arrived at half past twelve.
        self.clock.advance(12.5 * 3600 + 15 + 3600)
        self.assertEqual(len(await self.chosen(QueueFilter(older_than=3590))), 3)
        self.assertEqual(await self.chosen(QueueFilter(older_than=3700)), [])

    async def test_entries_come_in_pages(self) -> None:
        await self.fill()
        first = await self.store.queue_operations.entries(ALL, 2)
        rest = await self.store.queue_operations.entries(ALL, 2, first[-1].row_id)
        self.assertEqual((len(first), len(rest)), (2, 1))
        self.assertEqual(first[0].arrived_at, ARRIVED)

    async def test_the_summary_counts_by_domain(self) -> None:
        await self.fill()
        await self.store.queue.lease(1, 60)
        await self.store.queue_operations.change(QueueFilter(domain="other.example"), QueueChange.HOLD)
        net, other = await self.store.queue_operations.summary()
        self.assertEqual((net.domain, net.waiting, net.leased, net.held), ("example.net", 1, 1, 0))
        self.assertEqual((other.domain, other.waiting, other.leased, other.held), ("other.example", 0, 0, 1))
        self.assertEqual(net.oldest, ARRIVED)
        self.assertIsNone(other.next_due)

    async def test_held_mail_is_not_tried_until_it_is_released(self) -> None:
        await self.fill()
        changed = await self.store.queue_operations.change(QueueFilter(domain="example.net"), QueueChange.HOLD)
        self.assertEqual(changed, 2)
        self.clock.advance(864_000)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.forward_path, ERIN)
        await self.store.queue.settle([Settlement(row)])
        self.assertIsNone(await self.store.queue.next_due())
        self.assertEqual(await self.store.queue_operations.change(ALL, QueueChange.RETRY), 0)
        self.assertEqual(await self.store.queue_operations.change(ALL, QueueChange.RELEASE), 2)
        self.assertEqual(len(await self.store.queue.lease(10, 60)), 2)

    async def test_hold_applies_to_a_leased_row_when_its_attempt_ends(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(await self.store.queue_operations.change(ALL, QueueChange.HOLD), 1)
        (entry,) = await self.store.queue_operations.entries(ALL, 10)
        self.assertEqual(entry.state, RowState.HELD)
        due = await self.store.queue.next_due()
        assert due is not None
        self.assertEqual(await self.store.queue.settle([Settlement(row, due, "451 later")]), 1)
        self.clock.advance(86_400)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        (entry,) = await self.store.queue_operations.entries(ALL, 10)
        self.assertEqual((entry.state, entry.due_at, entry.attempts), (RowState.HELD, None, 1))
        self.assertEqual(entry.last_reply, "451 later")

    async def test_hold_applies_to_a_leased_row_when_its_lease_expires(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        await self.store.queue.lease(10, 60)
        await self.store.queue_operations.change(ALL, QueueChange.HOLD)
        self.clock.advance(61)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue_operations.change(ALL, QueueChange.RELEASE), 1)
        self.assertEqual(len(await self.store.queue.lease(10, 60)), 1)

    async def test_a_row_to_be_held_ends_if_the_host_accepted_it(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        await self.store.queue_operations.change(ALL, QueueChange.HOLD)
        self.assertEqual(await self.store.queue.settle([Settlement(row, reply="250 ok")]), 1)
        self.assertEqual(list(await self.store.queue_operations.entries(ALL, 10)), [])

    async def test_a_retry_does_not_wait(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        due = await self.store.queue.next_due()
        assert due is not None
        await self.store.queue.settle([Settlement(row, due.replace(year=2030), "451 later")])
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue_operations.change(ALL, QueueChange.RETRY), 1)
        self.assertEqual(len(await self.store.queue.lease(10, 60)), 1)

    async def test_a_dropped_row_is_gone_and_its_lease_is_lost(self) -> None:
        first, _second = await self.fill()
        rows = await self.store.queue.lease(10, 60)
        self.assertEqual(await self.store.queue_operations.change(QueueFilter(queue_ids=(first,)), QueueChange.DROP), 2)
        lost = await self.store.queue.renew(rows, 60)
        self.assertEqual([row.queue_id for row in lost], [first, first])
        self.assertEqual(await self.store.queue.settle([Settlement(row) for row in rows]), 1)
