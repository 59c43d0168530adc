"""The log of what operators changed."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control import requests
from emailsys.control.commands import Commands
from emailsys.control.directory_requests import DirectoryChange, DirectoryRead
from emailsys.control.requests import Request
from emailsys.control.store_access import Hooks
from emailsys.interfaces.operators import Actor, QueueChange
from emailsys.mail.address import Address
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_store import MemoryStore

ANN = Address("ann", "example.test")
BOB = Address("bob", "example.test")


class ChangeLogTests(SynchronousTestCase):
    def test_a_change_is_logged_with_its_user_and_without_secrets(self) -> None:
        """Requests that read, and those that were refused, are not logged."""
        actor = Actor("user-5")

        def ask(request: Request) -> Any:
            return self.successResultOf(defer.Deferred.fromCoroutine(commands.answer(request, actor)))

        told: list[Any] = []
        store = MemoryStore(Clock())
        telemetry = Telemetry(also=lambda name, fields: told.append((name, fields)))
        commands = Commands(store, telemetry, Hooks(status=lambda: {"pid": 5}))
        ask(requests.DomainAdd("example.test", BOB))
        ask(requests.DomainAdd("example.test", BOB))
        ask(requests.UserAddMany(((BOB, [("argon2id", "secret")]), (ANN, [("argon2id", "secret")]))))
        ask(requests.UserPassword(BOB, [("argon2id", "secret")]))
        ask(requests.UserMaySendAs(BOB))
        ask(requests.DomainList())
        ask(requests.Status())
        ask(requests.QueueChangeRows(tuple(f"id-{number}" for number in range(500)), change=QueueChange.HOLD))
        # Each change of a transaction, but none of one that is refused.
        password = requests.UserPassword(ANN, [("argon2id", "secret")]).as_json()
        enabled = requests.UserEnabled(Address("nobody", "example.test"), True).as_json()
        ask(DirectoryRead())
        ask(DirectoryChange((password, enabled)))
        ask(DirectoryChange((password, requests.UserEnabled(ANN, False).as_json())))
        self.assertEqual([fields["command"] for _, fields in told[4:]], ["user.password", "user.enabled"])
        self.assertNotIn("secret", str(told))
        del told[4:]
        self.assertEqual(
            [fields["command"] for _, fields in told], ["domain.add", "user.add-many", "user.password", "queue.change"]
        )
        self.assertEqual({(name, fields["by"]) for name, fields in told}, {("operator-change", "user-5")})
        self.assertNotIn("secret", str(told))
        self.assertLess(len(told[-1][1]["what"]), 600)
