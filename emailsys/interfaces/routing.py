"""Decisions about addresses: in an SMTP session, and at each attempt of a delivery."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.mail import smtp
from zope.interface import Attribute, Interface

from emailsys.interfaces.accounts import Account
from emailsys.interfaces.queue import QueueRow
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Client, Recipient, Route
from emailsys.mail.message.identity import Identity
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply


class IDelivery(smtp.IMessageDelivery):
    """Avatar of an SMTP session, anonymous or authenticated: checks and resolves addresses.

    The methods are those of twisted.mail's interface, with the values of emailsys. validateFrom and validateTo return
    awaitables. A refusal is a value, not an exception: the Reply to send.
    """

    account: Account | None = Attribute("The authenticated account; None for an anonymous client.")

    async def validateFrom(helo: Client, origin: Address | None) -> Reply | None:
        """Return None if the client may use this reverse-path, else the reply that refuses it."""

    async def validateTo(user: Addressee) -> Sequence[Route] | Reply:
        """Resolve a forward-path without source route. An empty domain stands for bare <postmaster>."""

    async def change_password(new: bytes) -> Reply:
        """Replace the password of the account, whose old one was verified. Returns the reply to send.

        @raise LoginBusy: too many passwords wait to be hashed, or another session changes the password of this account.
        @raise StoreError: the password cannot be stored now.
        """

    def receivedHeader(helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """Return the Received field, folded, with its final CRLF."""

    async def validate_identity(client: Client, reverse_path: Address | None, identity: Identity) -> Reply | None:
        """Return None if the client may send a message with this identity, else the reply that refuses it."""

    def examine(client: Client, domains: frozenset[str]) -> bytes | Reply:
        """Return the fields to put in front of a message, or the reply that refuses it.

        Called after `validateFrom`.

        @param domains: those of its authors, by `domain_key`.
        """

    def accepted(helo: Client) -> None:
        """Note that a message of the client was accepted."""


class IRouter(Interface):
    """Routing of mail outside an SMTP session."""

    async def next_hop(row: QueueRow) -> NextHop:
        """Return the next hop of a queue row. Called at each attempt, so that a corrected route applies."""

    async def sender(row: QueueRow) -> Address | None:
        """Return the reverse-path to send: the row's own, or a rewritten one (SRS) if the row is forwarded."""

    async def resolve(forward_path: Address) -> Sequence[Route]:
        """Return the routes of mail that this system composes, such as a DSN. Empty for an unknown local address."""
