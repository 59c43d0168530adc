"""Finished messages from other programs (sendmail's standard input, .eml files), completed for sending."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from emailsys.client.compose import header_fields
from emailsys.client.compose.draft import ComposeError
from emailsys.client.compose.message_builder import OutgoingMessage, new_message_id, unique
from emailsys.mail.address import Address
from emailsys.mail.message.headers import HeaderSection, fields_end, header_end
from emailsys.mail.message.ids import message_ids
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes, read_mailboxes
from emailsys.mail.message.mime import Part, parse_header
from emailsys.mail.trace_fields import date_time

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_PKCS7: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_RECIPIENTS: Final = ("to", "cc", "bcc")
# The first line of a message in an mbox file, which some programs pass on.
_MBOX_LINE: Final = re.compile(rb"\A(?:>?From (?![ \t]*:)[^\r\n]*\r\n)+")
# RFC 5322 §3.6.3: Bcc is removed. Return-Path is removed because only the final server adds it.
_REMOVED: Final = re.compile(rb"^(?:resent-)?(?:bcc|return-path)[ \t]*:(?:[^\r]|\r\n[ \t])*\r\n", re.I | re.M)


def check_is_encrypted(octets: bytes, account: str) -> None:
    """Check a finished message of an account that encrypts all messages. It is sent as it is, and must not be clear.

    @raise ComposeError: it is not encrypted.
    """
    root = parse_header(octets)
    if root.content_type == "multipart/encrypted" or _is_enveloped(root):
        return
    if root.content_type == "text/plain" and root.raw.lstrip().startswith(b"-----BEGIN PGP MESSAGE-----"):
        return
    raise ComposeError(
        f"The account {account} encrypts all messages, and this finished message is not encrypted. Encrypt it first, "
        "or send it in clear with --no-encrypt."
    )


def _is_enveloped(root: Part) -> bool:
    # RFC 8551 §3.2.2.
    kind = root.parameters.get("smime-type", "").strip().lower()
    return root.content_type in _PKCS7 and kind in ("enveloped-data", "authenveloped-data")


def complete_message(
    octets: bytes,
    sender: Mailbox,
    now: datetime,
    recipients: Sequence[Address] = (),
    from_header: bool = False,
    reverse_path: Address | None = None,
    is_null: bool = False,
) -> OutgoingMessage:
    """Complete a finished message for sending.

    Line ends become CRLF, Bcc is removed, and missing From, Date and Message-ID are added. Nothing else changes.

    @param sender: for From if the message has none.
    @param from_header: take recipients from To, Cc and Bcc (sendmail -t), in addition to `recipients`.
    @param reverse_path: None for the address of From (sendmail -f sets it).
    @param is_null: the reverse-path is the null one: delivery failures are not reported (RFC 5321 §4.5.5).
    @raise ComposeError: there is no recipient, or an address is invalid.
    """
    octets = _MBOX_LINE.sub(b"", _LINE_END.sub(b"\r\n", octets))
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    root = parse_header(octets)
    people = list(recipients)
    if from_header:
        # RFC 5322 §3.6.6: a message that is sent again goes to the people of the Resent fields alone.
        resent = "resent-" if any(root.first(f"resent-{name}") for name in _RECIPIENTS) else ""
        for name in (f"{resent}{one}" for one in _RECIPIENTS):
            for one in root.fields:
                if one.name.lower() == name:
                    try:
                        people += [mailbox.address for mailbox in parse_mailboxes(one.text)]
                    except ValueError as wrong:
                        raise ComposeError(f"{one.name}: {wrong}") from None
    if not people:
        raise ComposeError("The message has no recipient. Add one to To, Cc or Bcc, or name it on the command line.")
    end = header_end(octets)
    if end is None:
        end = fields_end(octets)
    head, body = octets[:end], octets[end:]
    if not body.startswith(b"\r\n"):
        # The empty line between header and text is missing.
        body = b"\r\n" + body
    head = _REMOVED.sub(b"", head)
    if root.first("from") is None:
        head = header_fields.mailboxes("From", [sender]) + head
        origin = sender.address
    else:
        author = root.text_of("resent-from") or root.text_of("from")
        origin = next((one.address for one in read_mailboxes(author)), sender.address)
    own = message_ids(root.text_of("message-id"))
    message_id = own[0] if own else new_message_id(sender.address, now)
    head = HeaderSection(head).missing_fields(date_time(now), message_id) + head
    path = None if is_null else header_fields.wire_address(reverse_path or origin)
    addresses = unique(people)
    return OutgoingMessage(
        octets=head + body,
        reverse_path=path,
        recipients=addresses,
        message_id=message_id,
        eight_bit=not (head + body).isascii(),
        smtputf8=not (head.isascii() and (path is None or path.is_ascii) and all(one.is_ascii for one in addresses)),
    )
