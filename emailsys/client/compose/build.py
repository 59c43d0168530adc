"""Make a message of a draft: octets with CRLF lines, and the envelope it is sent with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from emailsys.client.compose.draft import Draft
from emailsys.mail.address import Address


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready to be sent. `octets` never names those of Bcc; `recipients` does, each address once.

    `eight_bit` asks for 8BITMIME (only a forwarded message can need it), `smtputf8` for SMTPUTF8 (an address beyond
    ASCII). `message_id` is without angle brackets.
    """

    octets: bytes
    reverse_path: Address
    recipients: tuple[Address, ...]
    message_id: str
    eight_bit: bool
    smtputf8: bool


def build(draft: Draft, now: datetime, *, allow_no_recipients: bool = False) -> Composed:
    """Build the message. @raise ComposeError: no sender, no recipient, or a field that cannot be written."""
    ...


def warnings(draft: Draft) -> list[str]:
    """What a person may have overlooked: an attachment that is spoken of and not there, an empty subject or text."""
    ...
