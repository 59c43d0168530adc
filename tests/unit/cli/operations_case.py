"""Base class of the tests of operators' commands: a store with a domain and an account."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import Settlement
from emailsys.mail.address import Address
from emailsys.mail.envelope import Client, Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry
from tests.unit.cli.cli_case import CLICase

ANN = Address("ann", "example.test")
DAVE = Address("dave", "example.net")
CAROL = Address("carol", "example.org")
CLIENT = Client("s-1", "192.0.2.1", "client.example.org", "ESMTPS", "TLSv1.3", CAROL)


class OperationsCase(CLICase):
    """A store with ann@example.test."""

    def setUp(self) -> None:
        super().setUp()
        self.fine("domain", "add", "example.test", "--postmaster", "ann@example.test")
        self.fine("user", "add", "ann@example.test", "--password-stdin", typed=b"correct horse battery\n")

    def do(self, action: Any) -> Any:
        """Run an action on the store, as a daemon does."""
        return run_offline(StoreSettings(), self.state, action, Telemetry())

    def accept(self, message_id: str = "<abc@client.example>") -> str:
        """Accept a message to ann and dave. Return its queue id."""

        async def action(store: Store) -> str:
            ann = await store.directory.find_address(*ANN.key)
            assert ann is not None
            incoming = store.intake.begin()
            incoming.write(b"Subject: hello\r\n\r\n" + b"x" * 5000 + b"\r\n")
            recipients = (Recipient(ANN, (LocalRoute(ann.account_id),)), Recipient(DAVE, (RemoteRoute(DAVE),)))
            now = datetime.now(UTC)
            await incoming.commit(Envelope(CAROL, recipients, now, client=CLIENT, message_id=message_id))
            return incoming.queue_id

        queue_id: str = self.do(action)
        return queue_id

    def attempt(self, **fields: Any) -> None:
        """Record an attempt for the rows that are due."""

        async def action(store: Store) -> None:
            rows = await store.queue.lease(10, 60)
            await store.queue.settle([Settlement(row, **fields) for row in rows])

        self.do(action)

    def told(self, *arguments: str) -> Any:
        return json.loads(self.fine(*arguments, "--json"))
