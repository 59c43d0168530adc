"""Address lists as they are typed: their pieces, where the last one starts, and whether it is complete."""

from __future__ import annotations

from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import parse_mailboxes


def _commas(text: str) -> list[int]:
    """Return the offsets behind the commas outside quotation marks."""
    found = []
    quoted = escaped = False
    for at, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
        elif character in ",;" and not quoted:
            found.append(at + 1)
    return found


def last_address_start(text: str) -> int:
    """Return the offset of the last mailbox in an address list: after the last comma outside quotation marks."""
    begin = next(reversed(_commas(text)), 0)
    return begin + len(text[begin:]) - len(text[begin:].lstrip())


def address_pieces(text: str) -> list[str]:
    """Return what stands between the commas of an address list, without blanks around it."""
    bounds = [0, *_commas(text)]
    ends = [*(at - 1 for at in bounds[1:]), len(text)]
    return [piece for begin, end in zip(bounds, ends, strict=True) if (piece := text[begin:end].strip())]


def is_whole(text: str) -> bool:
    """Whether the text is one complete address with a dot in its domain."""
    try:
        found = parse_mailboxes(text)
    except AddressSyntaxError:
        return False
    return len(found) == 1 and "." in found[0].address.domain
