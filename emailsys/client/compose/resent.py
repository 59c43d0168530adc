"""Messages that are sent on unchanged, with Resent fields (RFC 5322 §3.6.6). mutt and aerc call it a bounce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from emailsys.client.compose import header_fields
from emailsys.client.compose.finished_message import complete_message
from emailsys.client.compose.message_builder import OutgoingMessage, new_message_id
from emailsys.mail.message.mailboxes import Mailbox
from emailsys.mail.trace_fields import date_time


def is_resent(octets: bytes) -> bool:
    """Whether a message of the outbox is sent on: the first of its fields are Resent fields."""
    return octets[:100].lower().startswith(b"resent-date:")


def resent(octets: bytes, sender: Mailbox, to: Sequence[Mailbox], now: datetime) -> OutgoingMessage:
    """Return a message for other people as it was received, with Resent fields on top.

    The author stays in From, so an answer goes to the author. Bcc and Return-Path are removed.

    @param sender: who sends it on. Delivery failures are returned to this address.
    @param now: the time for Resent-Date, with time zone.
    @raise ComposeError: there is no recipient, or an address is invalid.
    """
    message = complete_message(
        octets, sender, now, [one.address for one in to], reverse_path=header_fields.wire_address(sender.address)
    )
    fields = (
        header_fields.unstructured("Resent-Date", date_time(now))
        + header_fields.mailboxes("Resent-From", [sender])
        + header_fields.mailboxes("Resent-To", to)
        + header_fields.message_ids("Resent-Message-ID", [new_message_id(sender.address, now)])
    )
    octets = fields + message.octets
    return replace(message, octets=octets, eight_bit=not octets.isascii())
