"""Encoding of header fields: folding, encoded words and parameters, without header injection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.header import Header
from typing import Final
from urllib.parse import quote

from emailsys.client.compose.draft import ComposeError
from emailsys.mail.address import Address, AddressSyntaxError, domain_key, parse_foreign
from emailsys.mail.message.mailboxes import Mailbox

# RFC 5322 §2.1.1: a line should have at most 78 characters, and must have at most 998.
_LINE: Final = 78
_LONGEST_WORD: Final = 900
# Characters that could end a line or make it unreadable, and lone surrogates, which cannot be encoded.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,70}")
_MESSAGE_ID: Final = re.compile(r"[!-;=?-~]{1,500}")
_PLAIN_VALUE: Final = re.compile(r"[ !#-\[\]-~]*")
# RFC 2231 §3: a long value is split into sections, so that lines stay short.
_SECTION: Final = 50
_QUOTED_PIECE: Final = re.compile(r"(?:%[0-9A-F]{2}|[^%]){1,16}")
_CHARSET: Final = "utf-8''"
#: Beginning of the names of the fields with which a draft on disk keeps what a message has no field for.
OWN_PREFIX: Final = "x-emailsys-"


def on_one_line(text: str) -> str:
    """Replace line ends and other control characters by blanks, so that text cannot start another header field."""
    return _CONTROL.sub(" ", text).strip(" ")


def _encoded(text: str, used: int) -> str:
    """Encode text as folded encoded words (RFC 2047). @param used: characters before it on the first line."""
    return Header(text, "utf-8", maxlinelen=76, header_name="x" * max(used - 2, 1)).encode(linesep="\r\n")


def _folded(text: str, used: int) -> str:
    """Fold ASCII text at blanks. Unfolding gives the same text."""
    out: list[str] = []
    width = used
    for word in re.findall(r"^ *[^ ]*| +[^ ]+", text):
        if width + len(word) > _LINE and word.startswith(" ") and out:
            out.append("\r\n")
            width = 0
        out.append(word)
        width += len(word)
    return "".join(out)


def unstructured(name: str, text: str) -> bytes:
    """Encode a field of free text, such as Subject."""
    text = on_one_line(text)
    if not text.isascii() or "=?" in text or max(map(len, text.split(" "))) > _LONGEST_WORD:
        return f"{name}: {_encoded(text, len(name) + 2)}\r\n".encode("ascii")
    return f"{name}: {_folded(text, len(name) + 2)}\r\n".encode("ascii")


def wire_address(address: Address) -> Address:
    """Check an address, and convert its domain to A-labels, which every server accepts.

    @raise ComposeError: the address is invalid.
    """
    try:
        address = parse_foreign(str(address))
    except AddressSyntaxError as wrong:
        raise ComposeError(f"{on_one_line(str(address))!r} is not a mail address: {wrong}") from None
    return address if address.domain.isascii() else Address(address.local, domain_key(address.domain))


def _mailbox(mailbox: Mailbox) -> str:
    address = wire_address(mailbox.address)
    name = " ".join(on_one_line(mailbox.name).split())
    if not name:
        return str(address)
    if not name.isascii() or "=?" in name or len(name) > 60:
        return f"{_encoded(name, 10)} <{address}>"
    if not _PHRASE.fullmatch(name):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    return f"{name} <{address}>"


def mailboxes(name: str, people: Sequence[Mailbox]) -> bytes:
    """Encode a field of mailboxes, such as To. An internationalized address is written in UTF-8 (RFC 6532)."""
    out = f"{name}: "
    width = len(out)
    for number, person in enumerate(people):
        text = _mailbox(person)
        first, *others = text.split("\r\n")
        if number:
            out += ","
            if width + len(first) + 2 > _LINE:
                out += "\r\n"
                width = 0
            out += " "
            width += 2
        out += text
        width = len(others[-1]) if others else width + len(first)
    return f"{out}\r\n".encode()


def is_message_id(text: str) -> bool:
    """Whether a text, without angle brackets, can be written as a message id."""
    return _MESSAGE_ID.fullmatch(text) is not None


def message_ids(name: str, ids: Sequence[str]) -> bytes:
    """Encode a field of message ids, each on its own line. @raise ComposeError: a message id is invalid."""
    for one in ids:
        if not is_message_id(one):
            raise ComposeError(f"{on_one_line(one)[:80]!r} is not a message id")
    return (f"{name}: " + "\r\n ".join(f"<{one}>" for one in ids) + "\r\n").encode("ascii")


def _parameter(name: str, value: str) -> list[str]:
    value = _CONTROL.sub("_", value)
    if _PLAIN_VALUE.fullmatch(value) and len(value) <= _SECTION and "=?" not in value:
        return [f'{name}="{value}"']
    # RFC 2231 §4: percent-encoded. A section never ends within a percent sequence.
    pieces = _QUOTED_PIECE.findall(quote(value, safe=""))
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    return [f"{name}*{number}*={'' if number else _CHARSET}{piece}" for number, piece in enumerate(pieces)]


def structured(name: str, value: str, **parameters: str) -> bytes:
    """Encode a field with parameters, such as Content-Type (RFC 2045 §5.1, RFC 2231)."""
    text = f"{name}: {value}"
    for key, one in parameters.items():
        for piece in _parameter(key, one):
            text += f";\r\n {piece}"
    return f"{text}\r\n".encode("ascii")


def checked_name(name: str) -> str:
    """Check and return the name of a header field.

    @raise ComposeError: the name is invalid, or the client makes this field itself.
    """
    lowered = name.lower()
    if not _FIELD_NAME.fullmatch(name):
        raise ComposeError(
            f"{on_one_line(name)[:80]!r} is not the name of a header field. Use printable ASCII without blanks."
        )
    if lowered in _OURS or lowered.startswith(("content-", "resent-", OWN_PREFIX)):
        raise ComposeError(f"The header field {name} cannot be set by hand: the mail client writes it.")
    return name


_OURS: Final = frozenset(
    {
        *("from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"),
        *("mime-version", "received", "return-path", "delivered-to"),
    }
)
