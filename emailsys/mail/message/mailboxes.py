"""Mailboxes of From, To and similar fields: display name and address (RFC 5322 §3.4)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address, AddressSyntaxError, parse_foreign
from emailsys.mail.message.fields import MAX_STRUCTURED, decode_words

# RFC 5322 §3.2.3, atext and blanks: a display name with only these characters needs no quotes.
_PHRASE: Final = re.compile(r"[\w!#$%&'*+\-/=?^`{|}~ ]+")
_BLANKS: Final = re.compile(r"\s+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name, "" if there is none, and an address. `str` gives the form that people read and write."""

    name: str
    address: Address

    def __str__(self) -> str:
        if not self.name:
            return str(self.address)
        name = self.name
        if not _PHRASE.fullmatch(name) or "=?" in name:
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            name = f'"{escaped}"'
        return f"{name} <{self.address}>"


@dataclass(slots=True)
class _Piece:
    """The text between two commas: `inside` and outside of angle brackets.

    `outside` keeps the quotes of quoted strings and has no comments.
    """

    outside: str = ""
    inside: str | None = None
    comment: str = ""


def _pieces(text: str) -> Iterator[_Piece]:
    """Split an address list at commas, and at the colon and semicolon of a group (RFC 5322 §3.4)."""
    piece = _Piece()
    into: list[str] = []
    depth = 0
    quoted = escaped = angle = False
    # Whether `into` has an "@". A search for each colon would take quadratic time.
    has_at = False

    def end() -> _Piece:
        nonlocal has_at
        has_at = False
        if angle:
            piece.inside = "".join(into)
        else:
            piece.outside += "".join(into)
        into.clear()
        return piece

    for character in text[:MAX_STRUCTURED]:
        has_at = has_at or (character == "@" and not depth)
        if escaped:
            escaped = False
            if not depth:
                into.append(character)
        elif character == "\\" and (quoted or depth):
            escaped = True
            if not depth:
                into.append(character)
        elif quoted:
            quoted = character != '"'
            into.append(character)
        elif character == "(":
            depth += 1
        elif depth:
            depth -= character == ")"
        elif character == '"':
            quoted = True
            into.append(character)
        elif character == "<" and not angle:
            end()
            angle = True
        elif character == ">" and angle:
            end()
            angle = False
        elif character in ",;" and not angle:
            yield end()
            piece = _Piece()
        elif character == ":" and not angle and piece.inside is None and not has_at:
            # The name of a group. Its members follow.
            into.clear()
            piece = _Piece()
        else:
            into.append(character)
    yield end()


def _name(outside: str) -> str:
    """Return a display name on one line, without its quotes."""
    text = re.sub(r'"((?:[^"\\]|\\.)*)"?', lambda found: re.sub(r"\\(.)", r"\1", found[1]), outside)
    return _BLANKS.sub(" ", text).strip()


def _address(text: str) -> Address:
    """Parse an address of a list. A source route (RFC 5322 §4.4) and blanks around "@" and dots are dropped."""
    text = text.strip()
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    if '"' not in text:
        text = _BLANKS.sub("", text)
    return parse_foreign(text)


def list_name(mailbox: Mailbox) -> str:
    """Return what a list shows of a mailbox: its name, or else its address.

    If the name could be taken for an address, or has no letter or digit, the real address comes before it.
    """
    address = str(mailbox.address)
    # NFKC: "\uff20" looks like "@", too.
    name = unicodedata.normalize("NFKC", mailbox.name)
    if not name or name.casefold() == address.casefold():
        return address
    is_misleading = "@" in name or not any(map(str.isalnum, name))
    return f"{address} ({mailbox.name})" if is_misleading else mailbox.name


def parse_mailboxes(text: str) -> list[Mailbox]:
    """Parse mailboxes that a person typed: separated by commas, also in groups.

    @raise AddressSyntaxError: one of them is malformed. The message quotes it.
    """
    if _CONTROL.search(text):
        raise AddressSyntaxError("control characters in an address")
    found = []
    for piece in _pieces(text):
        if piece.inside is None and not piece.outside.strip():
            continue
        try:
            if piece.inside is None:
                found.append(Mailbox("", _address(piece.outside)))
            else:
                found.append(Mailbox(_name(piece.outside), _address(piece.inside)))
        except AddressSyntaxError as wrong:
            shown = (piece.outside if piece.inside is None else piece.inside).strip()[:80]
            raise AddressSyntaxError(f"{wrong}: {shown!r}") from None
    return found


def split_mailboxes(text: str) -> list[tuple[str, str]]:
    """Return the name (decoded, or "") and the address (as written, perhaps malformed) of each mailbox in a list.

    @param text: the field unfolded, but not decoded.
    """
    found = []
    for piece in _pieces(text):
        named = piece.inside is not None
        address = (piece.inside if piece.inside is not None else piece.outside).strip()
        if address:
            found.append((_one_line(decode_words(_name(piece.outside))) if named else "", _one_line(address)))
    return found


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", _CONTROL.sub(" ", text)).strip()


def read_mailboxes(text: str) -> list[Mailbox]:
    """Parse the mailboxes of a received field. Names are decoded, malformed mailboxes are left out.

    @param text: the field unfolded, but not decoded.
    """
    found = []
    for piece in _pieces(text):
        try:
            address = _address(piece.outside if piece.inside is None else piece.inside)
        except AddressSyntaxError:
            continue
        name = decode_words(_name(piece.outside)) if piece.inside is not None else ""
        found.append(Mailbox(_one_line(name), address))
    return found


def unusable_addresses(text: str) -> list[str]:
    """Return what a received field has in place of addresses and `read_mailboxes` leaves out, on one line each.

    @param text: the field unfolded, but not decoded.
    """
    found = []
    for piece in _pieces(text):
        written = (piece.outside if piece.inside is None else piece.inside).strip()
        try:
            _address(written)
        except AddressSyntaxError:
            if written or piece.inside is not None:
                found.append(_one_line(f"{_name(piece.outside)} <{written}>" if piece.inside is not None else written))
    return found
