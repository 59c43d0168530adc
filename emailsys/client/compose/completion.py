"""What of an address list is being typed: which part completion replaces, and whether it needs any."""

from __future__ import annotations

from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import parse_mailboxes


def last_address_start(text: str) -> int:
    """Where the last mailbox of an address list begins: after the last comma that is not within quotes."""
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
    """Whether it is an address already, with a domain that has a dot: what is offered then may be a longer one."""
    try:
        found = parse_mailboxes(text)
    except AddressSyntaxError:
        return False
    return len(found) == 1 and "." in found[0].address.domain
