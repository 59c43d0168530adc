"""Contract of every store: domains, accounts and addresses."""

from __future__ import annotations

from dataclasses import replace

from zope.interface.verify import verifyObject

from emailsys.interfaces import IDirectory, IKnownNetworks, KnownNetwork, NoDomains
from emailsys.interfaces.operators import AdminError, DomainRow, IAccounts, UserRow
from emailsys.interfaces.operators.declaration import DirectoryAccess, IDeclaration
from emailsys.mail.address import Address
from emailsys.mail.forward import Forward
from emailsys.mail.next_hop import HostRoute, NextHop
from tests.contract.mail import ALICE, BOB, MailCase, envelope, local

POSTMASTER = Address("postmaster", "example.test")
ABUSE = Address("abuse", "example.test")


class AccountsContract(MailCase):
    """The tests. `test_store_contract` has a subclass for each engine."""

    async def receives(self, address: Address) -> Address | None:
        """Return the account that receives mail for an address."""
        account = await self.store.directory.find_address(*address.key)
        return None if account is None else account.address

    async def test_the_store_implements_its_interfaces(self) -> None:
        verifyObject(IAccounts, self.store.accounts)
        verifyObject(IDirectory, self.store.directory)
        verifyObject(IDeclaration, self.store.declaration)

    async def test_the_directory_is_read_and_changed_as_a_whole(self) -> None:
        """A change that is refused undoes those before it."""
        await self.users()
        carol = Address("carol", "example.test")

        async def add(access: DirectoryAccess) -> None:
            await access.accounts.add_user(carol, [("argon2id", "secret-c")])
            await access.aliases.set_alias(Address("all", "example.test"), [ALICE, carol])
            await access.quotas.set_quota("example.test", 5000)
            await access.quotas.set_quota(carol, 0)
            await access.delegated_senders.allow(carol, [Address("", "example.net")])
            await access.accounts.set_forward(carol, [ALICE], False)
            await access.routes.set_route(HostRoute(NextHop("smtp.example", by_mx=False)))

        async def add_and_fail(access: DirectoryAccess) -> None:
            await add(access)
            await access.accounts.add_user(BOB, [("argon2id", "again")])

        before = await self.store.declaration.read()
        secrets = [dict(row.credentials) for row in before.accounts]
        self.assertEqual(secrets, [{"argon2id": "secret-a"}, {"argon2id": "secret-b"}])
        refused = await self.refused(AdminError, self.store.declaration.change(add_and_fail))
        self.assertIn("already exists", str(refused))
        self.assertEqual(await self.store.declaration.read(), before)
        await self.store.declaration.change(add)
        after = await self.store.declaration.read()
        self.assertEqual(
            [(row.name, row.postmaster, row.quota) for row in after.domains], [("example.test", ALICE, 5000)]
        )
        added = after.accounts[2]
        self.assertEqual((added.address, added.quota, added.forward), (carol, 0, Forward((ALICE,), False)))
        self.assertEqual(list(added.may_send_as), [Address("", "example.net")])
        self.assertEqual({row.name.local for row in after.aliases}, {"abuse", "all", "postmaster"})
        self.assertEqual([route.next_hop.name for route in after.routes], ["smtp.example"])
        self.assertEqual(await self.receives(carol), carol)

    async def test_own_addresses_are_compared_without_case(self) -> None:
        await self.users()
        self.assertEqual(await self.receives(Address("ALICE", "Example.TEST")), ALICE)
        login = await self.store.directory.find_login(Address("Alice", "EXAMPLE.test").key)
        self.assertEqual(login.account.address, ALICE)

    async def test_unknown_names_are_no_accounts(self) -> None:
        await self.users()
        for address in (Address("carol", "example.test"), Address("alice", "example.org"), Address("", "")):
            self.assertIsNone(await self.receives(address))
            self.assertIsNone(await self.store.directory.find_login(address.key))

    async def test_a_domain_is_local_from_its_addition_to_its_removal(self) -> None:
        directory, accounts = self.store.directory, self.store.accounts
        await accounts.add_domain("example.org", Address("a", "example.org"))
        self.assertIs(await directory.is_local_domain("example.test"), False)
        await accounts.add_domain("Example.Test", ALICE)
        self.assertIs(await directory.is_local_domain("example.test"), True)
        await accounts.remove_domain("EXAMPLE.test")
        self.assertIs(await directory.is_local_domain("example.test"), False)

    async def test_a_store_without_domains_raises_no_domains_for_every_name(self) -> None:
        """The store is new, or a wrong one. No mail may be permanently refused because of that."""

        async def all_raise() -> None:
            directory = self.store.directory
            for asked in (
                directory.is_local_domain("example.test"),
                directory.default_domain(),
                directory.find_address(*ALICE.key),
                directory.find_login(ALICE.key),
                directory.targets(*ALICE.key),
            ):
                await self.refused(NoDomains, asked)

        await all_raise()
        await self.store.accounts.add_domain("example.test", ALICE)
        self.assertIsNone(await self.store.directory.find_login(ALICE.key))
        self.assertEqual(list(await self.store.directory.targets("nobody", "example.test")), [])
        await self.store.accounts.remove_domain("example.test")
        await all_raise()

    async def test_the_first_domain_is_the_default_one(self) -> None:
        await self.store.accounts.add_domain("Zeta.test", Address("a", "zeta.test"))
        await self.store.accounts.add_domain("alpha.test", Address("a", "alpha.test"))
        self.assertEqual(await self.store.directory.default_domain(), "zeta.test")

    async def test_postmaster_and_abuse_reach_their_target_as_soon_as_it_exists(self) -> None:
        await self.store.accounts.add_domain("example.test", ALICE)
        self.assertIsNone(await self.receives(POSTMASTER))
        await self.store.accounts.add_user(BOB, [])
        self.assertIsNone(await self.receives(POSTMASTER))
        await self.store.accounts.add_user(ALICE, [])
        self.assertEqual(await self.receives(POSTMASTER), ALICE)
        self.assertEqual(await self.receives(ABUSE), ALICE)

    async def test_a_new_domain_may_take_an_older_domains_postmaster(self) -> None:
        await self.users()
        await self.store.accounts.add_domain("example.org", ALICE)
        self.assertEqual(await self.receives(Address("postmaster", "example.org")), ALICE)

    async def test_postmaster_may_be_an_account_of_that_name(self) -> None:
        await self.store.accounts.add_domain("example.test", POSTMASTER)
        await self.store.accounts.add_user(POSTMASTER, [("argon2id", "s")])
        self.assertEqual(await self.receives(POSTMASTER), POSTMASTER)
        self.assertEqual(await self.receives(ABUSE), POSTMASTER)
        login = await self.store.directory.find_login(POSTMASTER.key)
        self.assertEqual(login.secret("argon2id"), "s")
        error = await self.refused(AdminError, self.store.accounts.add_user(ABUSE, []))
        self.assertIn("alias", str(error))

    async def test_an_alias_is_no_login(self) -> None:
        await self.users()
        self.assertIsNone(await self.store.directory.find_login(POSTMASTER.key))

    async def test_a_domain_is_added_once_and_with_a_postmaster_of_ours(self) -> None:
        await self.store.accounts.add_domain("example.test", ALICE)
        await self.refused(AdminError, self.store.accounts.add_domain("EXAMPLE.TEST", ALICE))
        stranger = Address("x", "elsewhere.test")
        await self.refused(AdminError, self.store.accounts.add_domain("example.org", stranger))
        self.assertIs(await self.store.directory.is_local_domain("example.org"), False)

    async def test_a_user_needs_a_domain_and_a_name_that_is_free(self) -> None:
        await self.users()
        for address in (Address("x", "example.org"), Address("ALICE", "example.test"), POSTMASTER):
            await self.refused(AdminError, self.store.accounts.add_user(address, []))

    async def test_credentials_are_kept_by_scheme_and_replaced_together(self) -> None:
        await self.users()
        pairs = [("argon2id", "new"), ("scram-sha-256", "keys")]
        await self.store.accounts.set_credentials(ALICE, pairs)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertEqual(sorted(login.credentials), pairs)
        await self.store.accounts.set_credentials(ALICE, pairs[1:])
        login = await self.store.directory.find_login(ALICE.key)
        self.assertIsNone(login.secret("argon2id"))
        bob = await self.store.directory.find_login(BOB.key)
        self.assertEqual(bob.credentials, (("argon2id", "secret-b"),))

    async def test_many_are_added_at_once_and_each_refusal_has_its_place(self) -> None:
        """A refused row does not undo the others; the second of two equal rows is refused."""
        accounts = self.store.accounts
        net = Address("bob", "example.net")
        rows = [
            ("example.test", ALICE),
            ("Example.TEST", ALICE),
            ("x.test", Address("a", "y.test")),
            ("example.net", net),
        ]
        refused = await accounts.add_domains(rows)
        self.assertEqual([why is None for why in refused], [True, False, False, True])
        self.assertIn("already exists", str(refused[1]))
        self.assertEqual([row.name for row in await accounts.list_domains()], ["example.test", "example.net"])
        secret = [("argon2id", "s")]
        refused = await accounts.add_users(
            [(ALICE, secret), (Address("a", "y.test"), secret), (ALICE, secret), (net, secret)]
        )
        self.assertEqual([why is None for why in refused], [True, False, False, True])
        self.assertIn("there is no domain y.test", str(refused[1]))
        self.assertEqual([row.address for row in await accounts.list_users(None)], [net, ALICE])
        self.assertEqual(await self.receives(POSTMASTER), ALICE)

    async def test_a_secret_is_renewed_only_while_it_is_the_old_one(self) -> None:
        """Otherwise a login in progress would undo a password change."""
        await self.users()
        accounts = self.store.accounts
        alice = (await self.account(ALICE)).account_id
        await accounts.set_credentials(ALICE, [("argon2id", "old"), ("scram-sha-256", "old")])
        self.assertIs(await accounts.renew_credentials(alice, ("argon2id", "old"), [("argon2id", "new")]), True)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertEqual(sorted(login.credentials), [("argon2id", "new"), ("scram-sha-256", "old")])
        for account_id, scheme, old in (
            (alice, "argon2id", "old"),
            (alice, "x", "new"),
            (alice + 1, "argon2id", "new"),
        ):
            self.assertIs(await accounts.renew_credentials(account_id, (scheme, old), [(scheme, "newer")]), False)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertEqual(login.secret("argon2id"), "new")
        await accounts.set_credentials(ALICE, [("imported", "$6$old")])
        self.assertIs(await accounts.renew_credentials(alice, ("imported", "$6$old"), [("argon2id", "new")]), True)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertEqual(login.credentials, (("argon2id", "new"),))
        both = [("argon2id", "newest"), ("scram-sha-256", "keys")]
        self.assertIs(await accounts.renew_credentials(alice, ("argon2id", "new"), both), True)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertEqual(sorted(login.credentials), both)

    async def test_a_forward_is_stored_listed_and_ends_with_its_account(self) -> None:
        """The directory has it with the account's address; targets here must exist."""
        await self.users()
        accounts, directory = self.store.accounts, self.store.directory
        away = Address("alice", "away.test")
        await accounts.set_forward(ALICE, [away, BOB, away], False)
        forward = Forward((away, BOB), False)
        found = await directory.find_address(*ALICE.key)
        self.assertEqual(found.forward, forward)
        self.assertEqual({row.address: row.forward for row in await accounts.list_users(None)}[ALICE], forward)
        for targets in ([ALICE], [Address("nobody", ALICE.domain)]):
            with self.assertRaises(AdminError):
                await accounts.set_forward(ALICE, targets, True)
        with self.assertRaises(AdminError):
            await accounts.set_forward(Address("nobody", ALICE.domain), [BOB], True)
        await accounts.set_forward(ALICE, [], True)
        self.assertIsNone((await directory.find_address(*ALICE.key)).forward)
        await accounts.set_forward(BOB, [ALICE], True)
        await accounts.remove_user(BOB, True)
        await accounts.add_user(BOB, [("argon2id", "s")])
        self.assertIsNone((await directory.find_address(*BOB.key)).forward)

    async def test_a_disabled_account_still_receives(self) -> None:
        await self.users()
        await self.store.accounts.set_enabled(ALICE, False)
        login = await self.store.directory.find_login(ALICE.key)
        self.assertIs(login.account.enabled, False)
        alice = await self.account(ALICE)
        await self.send(b"x\r\n", envelope(local(alice)))
        await self.store.accounts.set_enabled(ALICE, True)
        self.assertIs((await self.account(ALICE)).enabled, True)

    async def test_changes_of_unknown_users_and_domains_are_refused(self) -> None:
        accounts, nobody = self.store.accounts, Address("nobody", "example.test")
        await self.users()
        for change in (
            accounts.set_credentials(nobody, []),
            accounts.set_enabled(nobody, True),
            accounts.remove_user(nobody, False),
            accounts.remove_domain("nowhere.test"),
            accounts.list_users("nowhere.test"),
        ):
            await self.refused(AdminError, change)

    async def test_a_user_with_mail_is_removed_only_with_purge(self) -> None:
        _alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(bob)))
        error = await self.refused(AdminError, self.store.accounts.remove_user(BOB, False))
        self.assertIn("purge", str(error))
        self.assertEqual(await self.receives(BOB), BOB)
        await self.store.accounts.remove_user(BOB, True)
        self.assertIsNone(await self.receives(BOB))
        self.assertIsNone(await self.store.directory.find_login(BOB.key))
        # A new account with the same name has no mail of the removed one.
        await self.store.accounts.add_user(BOB, [])
        self.assertEqual((await self.open(await self.account(BOB))).listMessages(), [])

    async def test_networks_of_logins_are_kept_until_they_are_old_too_many_or_their_account_is_removed(self) -> None:
        alice, bob = await self.users()
        networks = self.store.known_networks
        verifyObject(IKnownNetworks, networks)
        home, office = KnownNetwork(alice.account_id, "192.0.2.1", 10), KnownNetwork(bob.account_id, "2001:db8::", 12)
        await networks.note([office, home])
        old = KnownNetwork(bob.account_id, "192.0.2.1", 9)
        await networks.note([replace(home, day=14), replace(office, day=11), old])
        home = replace(home, day=14)
        self.assertEqual(list(await networks.load(10)), [old, office, home])
        self.assertEqual(list(await networks.load(1)), [home])
        self.assertEqual(list(await networks.load(10, home.day)), [home])
        self.assertEqual(list(await networks.load(10, home.day + 1)), [])
        await networks.prune(14, 4, 10)
        self.assertEqual(list(await networks.load(10)), [office, home])
        await self.store.accounts.remove_user(BOB, False)
        self.assertEqual(list(await networks.load(10)), [home])
        # A login whose write waited while the account was removed.
        await networks.note([office])
        self.assertEqual(list(await networks.load(10)), [home])
        await networks.note([replace(home, network="192.0.2.9", day=15), replace(home, network="192.0.2.8", day=15)])
        await networks.prune(15, 15, 2)
        self.assertEqual([known.network for known in await networks.load(10)], ["192.0.2.9", "192.0.2.8"])
        await networks.note([])

    async def test_networks_of_logins_survive_a_clock_that_is_ahead(self) -> None:
        alice, _bob = await self.users()
        networks = self.store.known_networks
        home, office = (KnownNetwork(alice.account_id, f"192.0.2.{number}", 10 + number) for number in (1, 2))
        await networks.note([home, office])
        await networks.prune(400, 90, 10)
        self.assertEqual(list(await networks.load(10)), [home, office])
        await networks.note([replace(home, day=400)])
        await networks.prune(13, 90, 10)
        self.assertEqual(list(await networks.load(10)), [office, replace(home, day=13)])

    async def test_a_new_password_makes_the_networks_of_logins_unknown(self) -> None:
        """They may be those of a thief."""
        alice, bob = await self.users()
        networks = self.store.known_networks
        home, others = (KnownNetwork(account.account_id, "192.0.2.1", 10) for account in (alice, bob))
        await networks.note([home, others])
        await self.store.accounts.set_credentials(ALICE, [("argon2id", "x")])
        self.assertEqual(list(await networks.load(10)), [others])
        login = await self.store.directory.find_login(ALICE.key)
        assert login is not None
        self.assertEqual(login.password_id, (alice.account_id, 1))
        # A login with the old password, on a node that writes it late.
        await networks.note([home])
        self.assertEqual(list(await networks.load(10)), [others])
        renewed = replace(home, password_number=1)
        await networks.note([renewed])
        # A renewed hash belongs to the same password.
        await self.store.accounts.renew_credentials(alice.account_id, ("argon2id", "x"), [("argon2id", "y")])
        self.assertEqual(list(await networks.load(10)), [others, renewed])
        await networks.prune(10, 90, 10)
        self.assertEqual(list(await networks.load(10)), [others, renewed])

    async def test_a_postmaster_goes_last(self) -> None:
        await self.users()
        error = await self.refused(AdminError, self.store.accounts.remove_user(ALICE, False))
        self.assertIn("postmaster", str(error))
        await self.store.accounts.remove_user(BOB, False)
        await self.store.accounts.remove_user(ALICE, False)
        self.assertIsNone(await self.receives(POSTMASTER))
        await self.store.accounts.add_user(ALICE, [])
        self.assertEqual(await self.receives(POSTMASTER), ALICE)

    async def test_a_postmaster_of_another_domain_stays(self) -> None:
        await self.store.accounts.add_domain("example.test", ALICE)
        await self.store.accounts.add_user(ALICE, [])
        await self.store.accounts.add_domain("example.org", ALICE)
        await self.refused(AdminError, self.store.accounts.remove_user(ALICE, False))
        await self.store.accounts.remove_domain("example.org")
        await self.store.accounts.remove_user(ALICE, False)

    async def test_a_domain_with_users_or_anothers_postmaster_stays(self) -> None:
        accounts = self.store.accounts
        await self.users()
        error = await self.refused(AdminError, accounts.remove_domain("example.test"))
        self.assertIn("users", str(error))
        await accounts.add_domain("example.org", Address("later", "example.test"))
        await accounts.remove_user(BOB, False)
        await accounts.remove_user(ALICE, False)
        await self.refused(AdminError, accounts.remove_domain("example.test"))
        await accounts.remove_domain("example.org")
        await accounts.remove_domain("example.test")
        self.assertEqual(list(await accounts.list_domains()), [])

    async def test_domains_are_listed_in_the_order_of_their_addition(self) -> None:
        await self.users()
        await self.store.accounts.add_domain("Alpha.test", ALICE)
        self.assertEqual(
            list(await self.store.accounts.list_domains()),
            [DomainRow("example.test", ALICE, 2), DomainRow("Alpha.test", ALICE, 0)],
        )

    async def test_users_are_listed_with_their_mail(self) -> None:
        alice, _bob = await self.users()
        await self.store.accounts.add_domain("alpha.test", ALICE)
        zoe = Address("Zoe", "alpha.test")
        await self.store.accounts.add_user(zoe, [])
        await self.store.accounts.set_enabled(BOB, False)
        await self.send(b"x" * 1000, envelope(local(alice)))
        await self.send(b"x" * 24, envelope(local(alice)))
        sizes = (await self.open(alice)).listMessages()
        rows = [UserRow(zoe, True, 0, 0), UserRow(ALICE, True, 2, sum(sizes)), UserRow(BOB, False, 0, 0)]
        self.assertEqual(list(await self.store.accounts.list_users(None)), rows)
        self.assertEqual(list(await self.store.accounts.list_users("Alpha.TEST")), rows[:1])
        self.assertEqual(await self.store.accounts.find_user(Address("zoe", "Alpha.test")), rows[0])
        self.assertIsNone(await self.store.accounts.find_user(Address("zoe", "example.test")))
