"""Renewal of outdated password hashes at a login."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys import passwords
from emailsys.interfaces import IDelivery, Login, LoginBusy, StoreError
from emailsys.policy.access import Access
from emailsys.policy.login_check import build_portal
from emailsys.policy.password_renewal import Renewal
from emailsys.policy.routing import Router
from tests.fakes.hashing import CountedHashing
from tests.fakes.net.smtp_house import Events
from tests.fakes.store.memory_store import MemoryStore


class RenewalTests(SynchronousTestCase):
    """A stored secret is "old:" or "new:" and the password."""

    def setUp(self) -> None:
        self.store = MemoryStore(Clock())
        self.alice = self.store.seed_account("alice@example.test", {"argon2id": "old:secret", "scram-sha-256": "keys"})
        self.store.seed_account("bob@example.test", {"argon2id": "new:secret"})
        self.hashing = CountedHashing(lambda stored, password: stored.partition(":")[2] == password)
        self.telemetry = Events()

        def is_outdated(credentials: Sequence[tuple[str, str]]) -> bool:
            return any(secret.startswith("old:") for _, secret in credentials)

        renewal = Renewal(self.store.accounts, self.hashing, self.telemetry, is_outdated)
        access = Access(Router(self.store.directory), "mail.example.test")
        self.portal = build_portal(self.store.directory, self.store.maildrops, self.hashing, access, renewal)

    def log_in(self, name: bytes = b"alice", password: bytes = b"secret") -> None:
        self.successResultOf(self.portal.login(UsernamePassword(name, password), None, IDelivery))

    def stored(self) -> dict[str, str]:
        login = self.successResultOf(Deferred.fromCoroutine(self.store.directory.find_login(self.alice.address.key)))
        assert login is not None
        return dict(login.credentials)

    def make(self, stored: str | BaseException = "new:secret") -> None:
        """The hash that was asked for is done."""
        _password, answer = self.hashing.hashed.pop(0)
        if isinstance(stored, str):
            answer.callback([("argon2id", stored)])
        else:
            answer.errback(Failure(stored))

    def test_an_old_hash_is_replaced_beside_the_login(self) -> None:
        self.log_in()
        self.assertEqual([password for password, _ in self.hashing.hashed], ["secret"])
        self.assertEqual(self.stored()["argon2id"], "old:secret")
        self.make()
        self.assertEqual(self.stored(), {"argon2id": "new:secret", "scram-sha-256": "keys"})
        self.assertEqual(self.telemetry.of("login-renewed"), [{"account": self.alice.address}])
        self.log_in()
        self.assertEqual(self.hashing.hashed, [])

    def test_an_imported_hash_becomes_argon2id_at_the_first_login(self) -> None:
        change = self.store.accounts.set_credentials(self.alice.address, [("imported", "old:secret")])
        self.successResultOf(Deferred.fromCoroutine(change))
        self.log_in()
        self.make()
        self.assertEqual(self.stored(), {"argon2id": "new:secret"})

    def test_a_hash_of_todays_costs_stays(self) -> None:
        self.log_in(b"bob")
        self.assertEqual(self.hashing.hashed, [])

    def test_a_wrong_password_renews_nothing(self) -> None:
        login = self.portal.login(UsernamePassword(b"alice", b"wrong"), None, IDelivery)
        self.failureResultOf(login, UnauthorizedLogin)
        self.assertEqual(self.hashing.hashed, [])

    def test_many_logins_at_once_cost_one_hash(self) -> None:
        for _ in range(3):
            self.log_in()
        self.assertEqual(len(self.hashing.hashed), 1)

    def test_a_password_changed_meanwhile_stays_changed(self) -> None:
        self.log_in()
        change = self.store.accounts.set_credentials(self.alice.address, [("argon2id", "new:other")])
        self.successResultOf(Deferred.fromCoroutine(change))
        self.make()
        self.assertEqual(self.stored(), {"argon2id": "new:other"})
        self.assertEqual(self.telemetry.of("login-renewed"), [])

    def test_a_failed_renewal_is_tried_again_at_the_next_login(self) -> None:
        """The login itself succeeds."""
        for error in (LoginBusy(), StoreError("closing"), CancelledError()):
            self.log_in()
            self.make(error)
            self.assertEqual(self.stored()["argon2id"], "old:secret")
        self.assertEqual(self.telemetry.exceptions, [])
        self.log_in()
        self.make()
        self.assertEqual(self.stored()["argon2id"], "new:secret")

    def test_a_defect_is_one_log_event(self) -> None:
        self.log_in()
        self.make(ZeroDivisionError())
        self.assertEqual([type(error) for error in self.telemetry.exceptions], [ZeroDivisionError])

    def test_by_default_argon2id_tells_what_is_old(self) -> None:
        renewal = Renewal(self.store.accounts, self.hashing, self.telemetry)
        made = ("argon2id", passwords.hash_password("secret"))
        old = ("argon2id", made[1].replace("t=2", "t=1"))
        self.assertFalse(renewal.begin(Login(self.alice, (made,)), made, "secret"))
        self.assertTrue(renewal.begin(Login(self.alice, (old,)), old, "secret"))

    def test_all_secrets_of_a_password_are_renewed_together(self) -> None:
        """A scheme that was added since the password was set gets its secret at the next login."""
        self.log_in()
        _password, answer = self.hashing.hashed.pop(0)
        answer.callback([("argon2id", "new:secret"), ("scram-sha-256", "new keys"), ("other", "more")])
        self.assertEqual(self.stored(), {"argon2id": "new:secret", "scram-sha-256": "new keys", "other": "more"})
