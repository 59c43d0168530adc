"""Completion in an address list: where the last address starts, and whether it is complete."""

from __future__ import annotations

from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import parse_mailboxes


def last_address_start(text: str) -> int:
    """Return the offset of the last mailbox in an address list: after the last comma outside quotation marks."""
    begin = 0
    quoted = escaped = False
    for at, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
        elif character in ",;" and not quoted:
            begin = at + 1
    return begin + len(text[begin:]) - len(text[begin:].lstrip())


def is_whole(text: str) -> bool:
    """Whether the text is one complete address with a dot in its domain."""
    try:
        found = parse_mailboxes(text)
    except AddressSyntaxError:
        return False
    return len(found) == 1 and "." in found[0].address.domain
