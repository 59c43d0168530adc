"""Change of a password by its owner."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import Account, IDelivery, LoginBusy
from emailsys.mail import reply
from emailsys.mail.reply import Reply
from emailsys.passwords import PasswordError, check_new_password
from emailsys.policy.access import Access, Delivery
from emailsys.policy.password_change import PasswordChanges
from emailsys.policy.routing import Router
from tests.fakes.net.smtp_house import Events
from tests.fakes.store.memory_store import MemoryStore


class Hashing:
    """Checks at once, and hashes to readable text."""

    is_full = False

    def __init__(self) -> None:
        #: Set to let the passwords wait: the new ones in work, and their hashes.
        self.waiting: dict[str, Deferred[Sequence[tuple[str, str]]]] | None = None

    def make_new(self, password: str, names: Sequence[str], min_length: int) -> Deferred[Sequence[tuple[str, str]]]:
        if self.is_full:
            return fail(LoginBusy())
        if self.waiting is not None:
            self.waiting[password] = Deferred()
            return self.waiting[password]
        try:
            check_new_password(password, names, min_length)
        except PasswordError as error:
            return fail(error)
        return succeed([("argon2id", f"hash of {password}")])


class PasswordChangeTests(SynchronousTestCase):
    """Alice is logged in, and her old password was verified."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@example.test", {"argon2id": "old", "scram": "keys"})
        self.hashing, self.telemetry = Hashing(), Events()
        changes = PasswordChanges(self.store.accounts, self.hashing, self.telemetry, 10)
        self.access = Access(Router(self.store.directory), "mx.example.test", passwords=changes)

    def change(self, new: bytes, access: Access | None = None) -> Reply:
        delivery = Delivery(access or self.access, self.alice)
        self.assertTrue(IDelivery.providedBy(delivery))
        return self.successResultOf(Deferred.fromCoroutine(delivery.change_password(new)))

    def stored(self) -> Sequence[tuple[str, str]]:
        login = self.successResultOf(Deferred.fromCoroutine(self.store.directory.find_login(self.alice.address.key)))
        assert login is not None
        return login.credentials

    def test_the_new_password_replaces_all_old_secrets(self) -> None:
        self.assertEqual(self.change(b"correct horse battery"), reply.PASSWORD_CHANGED)
        self.assertEqual(self.stored(), (("argon2id", "hash of correct horse battery"),))
        self.assertEqual(self.telemetry.of("password-changed"), [{"account": self.alice.address}])

    def test_a_password_that_breaks_the_rule_is_refused_with_the_reason(self) -> None:
        before = self.stored()
        for new, words in (
            (b"short", "at least 10"),
            (b"password123", "very common"),
            (b"alice.example", "own name"),
            (b"\xff" * 12, "not UTF-8"),
        ):
            refusal = self.change(new)
            self.assertEqual(refusal.code, 550)
            self.assertIn(words, refusal.text)
        self.assertEqual(self.stored(), before)

    def test_a_full_queue_of_hashes_changes_nothing(self) -> None:
        """The session answers that the client should try again."""
        self.hashing.is_full = True
        change = Deferred.fromCoroutine(Delivery(self.access, self.alice).change_password(b"correct horse battery"))
        self.failureResultOf(change, LoginBusy)

    def test_one_password_is_checked_at_a_time_and_one_of_each_account(self) -> None:
        """The check of a new password takes long, and logins need the other threads."""
        waiting = self.hashing.waiting = {}
        bob = self.store.seed_account("bob@example.test", {"argon2id": "old"})

        def begin(account: Account, new: bytes) -> Deferred[Reply]:
            return Deferred.fromCoroutine(Delivery(self.access, account).change_password(new))

        first, second = begin(self.alice, b"one"), begin(bob, b"two")
        self.assertEqual(list(waiting), ["one"])
        for account in (self.alice, bob):
            self.failureResultOf(begin(account, b"three"), LoginBusy)
        waiting["one"].errback(PasswordError("too short"))
        self.assertEqual(self.successResultOf(first).code, 550)
        self.assertEqual(list(waiting), ["one", "two"])
        again = begin(self.alice, b"four")
        waiting["two"].callback([("argon2id", "hash of two")])
        self.assertEqual(self.successResultOf(second), reply.PASSWORD_CHANGED)
        waiting["four"].callback([("argon2id", "hash of four")])
        self.assertEqual(self.successResultOf(again), reply.PASSWORD_CHANGED)

    def test_an_account_that_was_removed_meanwhile_is_told_so(self) -> None:
        self.store.seed_account("bob@example.test")
        self.alice = self.store.seed_account("carol@example.test", {"argon2id": "old"})
        self.successResultOf(Deferred.fromCoroutine(self.store.accounts.remove_user(self.alice.address, True)))
        self.assertEqual(self.change(b"correct horse battery"), reply.ACCOUNT_CLOSED)

    def test_without_a_store_the_command_is_not_implemented(self) -> None:
        access = Access(Router(self.store.directory), "mx.example.test")
        self.assertEqual(self.change(b"correct horse battery", access), reply.NOT_IMPLEMENTED)
