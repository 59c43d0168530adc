"""Checks of received mail by plugins, as an SMTP session calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from zope.interface import Attribute, Interface

from emailsys.mail.address import Address
from emailsys.mail.envelope import Client, Envelope, Route
from emailsys.mail.reply import Reply


class IHeldMessage(Interface):
    """A message that has arrived and is not in the store yet."""

    octets: int = Attribute("Its size.")
    beginning: bytes = Attribute("Its first octets: at least its whole header section.")

    def pieces() -> AsyncIterator[bytes]:
        """Return all octets, from the first one on, at each call."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The envelope and the new header fields of a message that the checks accept.

    @ivar fields: header fields for its front, whole lines.
    """

    envelope: Envelope
    fields: bytes = b""


class ISessionChecks(Interface):
    """The checks of one session. Its methods never raise: what goes wrong is logged, and the reply is 451."""

    folder: str | None = Attribute("Where large messages wait for their checks; None for the system's folder.")
    needs_message: bool = Attribute(
        "Whether the message is to be held until `message` has returned. Ask at its beginning."
    )

    async def connected(client: Client) -> Reply | None:
        """Return None if the client may go on, else the reply in place of the greeting."""

    async def greeted(client: Client) -> Reply | None:
        """Return None, or the reply that refuses EHLO or HELO."""

    async def sender(client: Client, reverse_path: Address | None, size: int) -> Reply | None:
        """Return None, or the reply that refuses MAIL. What was found for the transaction before is discarded."""

    async def recipient(client: Client, forward_path: Address, routes: Sequence[Route]) -> Sequence[Route] | Reply:
        """Return the routes of a recipient, perhaps others than before, or the reply that refuses it."""

    def withdraw_recipient() -> None:
        """Forget the last recipient, which was refused after all, and what was found for it."""

    async def message(envelope: Envelope, queue_id: str, held: IHeldMessage | None) -> Ruling | Reply | None:
        """Return what the message becomes, None if it stays as it is, or the reply that refuses it.

        @param held: None if no check needs it.
        """


class IChecks(Interface):
    """The checks of a service."""

    def begin(service: str, is_trusted: bool) -> ISessionChecks:
        """Return the checks of a new session."""
