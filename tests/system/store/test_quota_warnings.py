"""Who reaches 90 % of a quota is told by a message, of a domain the postmaster: once until it has been emptier."""

from __future__ import annotations

import itertools
from typing import Any

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import Account, StoreError
from emailsys.mail.address import Address
from emailsys.store.directory.quotas import Quotas
from emailsys.store.open import open_store
from emailsys.telemetry import Telemetry
from tests.contract.engines import ClockedReactor, PostgreSQLCase, SQLiteCase, opening_by
from tests.contract.mail import ALICE, BOB, CAROL, MailCase, envelope, local

KIB = 1024
# The notice and its fields fit between the message that passes 90 % and the quota.
QUOTA = 100 * KIB


class QuotaWarningsContract(MailCase):
    """Run by each engine's own class."""

    async def deliver(self, account: Account, octets: int) -> None:
        """As a session does: RCPT asks for room, the end of data commits."""
        # A count that took long on a busy machine would be valid for longer.
        self.store.quotas._clock = lambda: 0.0
        await self.store.quotas.usage(account.account_id)
        await self.send(b"x" * octets, envelope(local(account)))
        await self.told()

    async def told(self) -> None:
        """What follows the commit has come to its end."""
        for warning in tuple(self.store.quotas.pending_warnings):
            await warning

    async def notices(self, account: Account, subject: bytes = b"Subject: Your mailbox is") -> list[bytes]:
        maildrop = await self.open(account)
        texts = [await self.fetch(maildrop, index) for index in range(len(maildrop.listMessages()))]
        maildrop.release()
        return [text for text in texts if subject in text]

    async def empty(self, account: Account) -> None:
        maildrop = await self.open(account)
        for index in range(len(maildrop.listMessages())):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        maildrop.release()

    async def test_the_message_that_passes_ninety_percent_brings_the_warning_with_it(self) -> None:
        alice, bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        await self.deliver(alice, 80 * KIB)
        await self.deliver(bob, 80 * KIB)
        self.assertEqual(await self.notices(alice), [])
        await self.deliver(alice, 11 * KIB)
        (notice,) = await self.notices(alice)
        self.assertTrue(notice.startswith(b"Return-Path: <>\r\nDelivered-To: alice@example.test\r\n"))
        self.assertIn(b"From: Mail System <postmaster@example.test>\r\n", notice)
        self.assertIn(b"Auto-Submitted: auto-generated\r\n", notice)
        self.assertEqual(await self.notices(bob), [])
        (life, *_) = (await self.store.trace.search(str(ALICE), 1)).lives
        self.assertEqual((life.reverse_path, life.client, life.stored), (None, None, 1))
        self.assertEqual((await self.store.verification.check(None, 10)).flaws, ())

    async def test_a_warning_comes_once_and_again_only_after_the_maildrop_was_emptier(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        await self.deliver(alice, 91 * KIB)
        for _ in range(3):
            self.clock.advance(6)
            await self.deliver(alice, 1)
        self.assertEqual(len(await self.notices(alice)), 1)
        await self.empty(alice)
        self.clock.advance(6)
        await self.deliver(alice, 1)
        self.assertEqual(len(await self.notices(alice)), 0)
        await self.deliver(alice, 95 * KIB)
        self.assertEqual(len(await self.notices(alice)), 1)

    async def test_a_restart_and_a_second_node_send_no_second_warning(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        await self.deliver(alice, 91 * KIB)
        other = self.other()
        await other.quotas.usage(alice.account_id)
        self.assertEqual(other.quotas.pending_warnings, set())
        await other.close()
        self.assertEqual(len(await self.notices(alice)), 1)

    async def test_a_quota_that_is_raised_ends_the_warning(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        await self.deliver(alice, 91 * KIB)
        await self.store.quotas.set_quota(ALICE, 2 * QUOTA)
        await self.deliver(alice, 1)
        await self.deliver(alice, 100 * KIB)
        self.assertEqual(len(await self.notices(alice)), 2)

    async def test_a_warning_that_the_store_cannot_keep_comes_with_the_next_count(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        run = self.store.database.run

        def fail(name: str, function: Any) -> Any:
            if name == "quota-warning":
                raise StoreError("the disk is slow")
            return run(name, function)

        self.patch(self.store.database, "run", fail)
        await self.deliver(alice, 91 * KIB)
        self.assertEqual(await self.notices(alice), [])
        self.patch(self.store.database, "run", run)
        self.clock.advance(6)
        await self.deliver(alice, 1)
        self.assertEqual(len(await self.notices(alice)), 1)

    async def test_a_defect_is_logged_and_the_mail_stays_accepted(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)

        def fail(*_: Any) -> Any:
            raise ValueError("a defect")

        self.patch(self.store.quotas._warnings, "set_nearly_full", fail)
        await self.deliver(alice, 91 * KIB)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

    async def test_where_it_is_switched_off_only_the_log_is_told(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        await self.send(b"x" * (91 * KIB), envelope(local(alice)))
        telemetry = Telemetry()
        other = self.other(telemetry, quota_warning=False)
        await other.quotas.usage(alice.account_id)
        for warning in tuple(other.quotas.pending_warnings):
            await warning
        await other.close()
        self.assertEqual(telemetry.counters["quota-nearly-full"], 1)
        self.assertEqual(await self.notices(alice), [])

    async def test_an_account_without_a_quota_gets_no_warning(self) -> None:
        _alice, bob = await self.users()
        await self.deliver(bob, 500 * KIB)
        self.assertEqual(self.store.quotas.pending_warnings, set())
        await self.store.quotas.set_quota(BOB, 0)
        await self.deliver(bob, 1)
        self.assertEqual(self.store.quotas.pending_warnings, set())

    async def test_the_postmaster_is_told_of_a_domain_that_is_nearly_full_once_until_it_was_emptier(self) -> None:
        """Whoever brought it there: the message that passes 90 % is bob's, alice is postmaster."""
        alice, bob = await self.users()
        about_all = b"Subject: The mailboxes of example.test are 9"
        await self.store.quotas.set_quota("example.test", QUOTA)
        await self.deliver(alice, 40 * KIB)
        await self.deliver(bob, 40 * KIB)
        self.assertEqual(await self.notices(alice, about_all), [])
        await self.deliver(bob, 11 * KIB)
        (notice,) = await self.notices(alice, about_all)
        self.assertTrue(notice.startswith(b"Return-Path: <>\r\nDelivered-To: postmaster@example.test\r\n"))
        self.assertIn(b"emailsys domain quota example.test SIZE", notice)
        self.assertEqual(await self.notices(bob, about_all) + await self.notices(alice), [])
        for _ in range(3):
            self.clock.advance(6)
            await self.deliver(bob, 1)
        # Neither a restart nor a second node tells it again.
        other = self.other()
        await other.quotas.usage(bob.account_id)
        self.assertEqual(other.quotas.pending_warnings, set())
        await other.close()
        self.assertEqual(len(await self.notices(alice, about_all)), 1)
        await self.empty(bob)
        self.clock.advance(6)
        await self.deliver(bob, 1)
        await self.deliver(bob, 54 * KIB)
        self.assertEqual(len(await self.notices(alice, about_all)), 2)
        self.assertEqual((await self.store.verification.check(None, 10)).flaws, ())

    async def test_a_postmaster_elsewhere_is_told_by_mail_that_leaves(self) -> None:
        alice, _bob = await self.users()
        boss = Address("postmaster", "example.test")
        await self.store.aliases.set_alias(boss, [CAROL, ALICE])
        await self.store.quotas.set_quota("example.test", QUOTA)
        await self.deliver(alice, 91 * KIB)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual((row.forward_path, row.reverse_path), (CAROL, None))
        self.assertEqual(len(await self.notices(alice, b"Subject: The mailboxes of")), 1)

    async def test_where_the_postmaster_is_an_alias_again_the_log_alone_is_told(self) -> None:
        alice, _bob = await self.users()
        await self.store.aliases.set_alias(Address("chief", "example.test"), [ALICE])
        await self.store.aliases.set_alias(Address("postmaster", "example.test"), [Address("chief", "example.test")])
        await self.store.quotas.set_quota("example.test", QUOTA)
        await self.deliver(alice, 91 * KIB)
        self.assertEqual(self.store.intake.telemetry.counters["quota-nearly-full"], 1)
        self.assertEqual(self.store.intake.telemetry.counters["quota-warned"], 0)
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

    async def test_a_quota_that_takes_long_to_count_is_counted_rarely(self) -> None:
        """A domain of a million messages: a fiftieth of one reader's time at most."""
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, QUOTA)
        readings = itertools.count()
        quotas = Quotas(
            self.store.quotas._changes, ClockedReactor(self.clock), Telemetry(), 0, self.store.quotas._warnings,
            lambda: float(next(readings)),
        )  # fmt: skip
        await quotas.usage(alice.account_id)
        await self.send(b"x" * KIB, envelope(local(alice)))
        for wait, seen in ((49, False), (2, True)):
            self.clock.advance(wait)
            mine, _ = await quotas.usage(alice.account_id)
            self.assertEqual(mine.octets > 0, seen)

    def other(self, telemetry: Telemetry | None = None, **settings: Any) -> Any:
        """A second node on the same store."""
        return open_store(
            StoreSettings(url=self.store_url(), **settings),
            self.state,
            ClockedReactor(self.clock),
            telemetry or Telemetry(),
            opening_by(self.clock),
        )

    def store_url(self) -> str | None:
        raise AssertionError(f"{type(self).__name__} names no engine")


class SQLiteQuotaWarnings(SQLiteCase, QuotaWarningsContract):
    def store_url(self) -> str | None:
        return None


class PostgreSQLQuotaWarnings(PostgreSQLCase, QuotaWarningsContract):
    def store_url(self) -> str | None:
        return str(self.url.render_as_string(hide_password=False))


del QuotaWarningsContract, MailCase
