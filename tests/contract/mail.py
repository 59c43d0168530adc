"""Helpers of the contract tests: make envelopes, send and fetch messages."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred

from emailsys.interfaces import Account
from emailsys.mail.address import Address
from emailsys.mail.envelope import BodyType, Envelope, LocalRoute, MailParameters, Recipient, RemoteRoute
from tests.contract.engines import StoreCase

ALICE = Address("alice", "example.test")
BOB = Address("bob", "example.test")
CAROL = Address("carol", "example.org")
ARRIVED = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)


def local(account: Account, address: Address | None = None) -> Recipient:
    """Return a recipient with an account of this system."""
    return Recipient(address or account.address, (LocalRoute(account.account_id),))


def remote(address: Address) -> Recipient:
    """Return a recipient on another host."""
    return Recipient(address, (RemoteRoute(address),))


def envelope(*recipients: Recipient, reverse_path: Address | None = CAROL, smtputf8: bool = False) -> Envelope:
    """Return an envelope from carol, of the first of January."""
    return Envelope(reverse_path, recipients, ARRIVED, MailParameters(BodyType.EIGHT_BIT_MIME, smtputf8))


class MailCase(StoreCase):
    """A test with the accounts alice and bob of example.test."""

    _first_user: Account | None = None

    async def users(self) -> tuple[Account, Account]:
        """Add the accounts. Alice is the postmaster."""
        await self.store.accounts.add_domain("example.test", ALICE)
        await self.store.accounts.add_user(ALICE, [("argon2id", "secret-a")])
        await self.store.accounts.add_user(BOB, [("argon2id", "secret-b")])
        return await self.account(ALICE), await self.account(BOB)

    async def first_user(self) -> Account:
        """Return alice. The accounts are added at the first call."""
        if self._first_user is None:
            self._first_user, _bob = await self.users()
        return self._first_user

    async def account(self, address: Address) -> Account:
        """Return the account that receives mail for an address."""
        found = await self.store.directory.find_address(*address.key)
        assert isinstance(found, Account)
        return found

    async def watch_other_nodes(self, store: Any) -> None:
        """Let a store look after other nodes for some seconds."""
        for _ in range(5):
            self.clock.advance(2.0)
            await store.ended_nodes.step()

    async def while_time_passes(self, asking: Coroutine[Any, Any, Any], *stores: Any) -> Any:
        """Wait for a login while the clock goes on, and with it the signs of life of these stores."""
        asked = Deferred.fromCoroutine(asking)
        # The failure is kept for the caller.
        _ = asked.addErrback(lambda failure: failure)
        while not asked.called:
            self.clock.advance(0.5)
            for store in stores:
                await store._locks.settle()
        return await asked

    async def send(self, body: bytes, to: Envelope, chunk: int = 65_536) -> str:
        """Send a message. Returns its queue id."""
        incoming = self.store.intake.begin()
        for start in range(0, len(body), chunk):
            pause = incoming.write(body[start : start + chunk])
            if pause is not None:
                await pause
        await incoming.commit(to)
        queue_id: str = incoming.queue_id
        return queue_id

    async def open(self, account: Account) -> Any:
        """Open a maildrop, which is released after the test."""
        maildrop = await self.store.maildrops.open(account.account_id)
        self.addCleanup(maildrop.release)
        return maildrop

    async def fetch(self, maildrop: Any, index: int) -> bytes:
        """Return a message as RETR sends it, without dot-stuffing."""
        return b"".join([piece async for piece, _dots in maildrop.pieces(index)])

    async def refused(self, kind: type[Exception], doing: Any) -> Exception:
        """Await a failure with an exception."""
        try:
            await doing
        except kind as error:
            return error
        raise self.failureException(f"{kind.__name__} was expected")
