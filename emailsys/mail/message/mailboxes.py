"""Mailboxes of From, To and similar fields: display name and address (RFC 5322 §3.4)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address, AddressSyntaxError, parse, parse_foreign
from emailsys.mail.message.fields import MAX_STRUCTURED, decode_words

# RFC 5322 §3.2.3, atext and blanks: a display name with only these characters needs no quotes.
_PHRASE: Final = re.compile(r"[\w!#$%&'*+\-/=?^`{|}~ ]+")
_BLANKS: Final = re.compile(r"\s+")
# RFC 5322 §4.4: blanks around the dots and the "@" of an address do not count.
_AROUND_SIGNS: Final = re.compile(r" ?([@.]) ?")
# What is removed from a list in which a quotation mark or a parenthesis is never closed.
_UNCLOSED: Final = str.maketrans("", "", '"()')
# The characters that have a meaning in a list of addresses, and a run of others or one of these.
_SIGNS: Final = frozenset('"\\(),:;<>')
_RUN: Final = re.compile(r'[^"\\(),:;<>]++|.', re.S)
# Brackets and quotation marks around an address, and the dot at the end of a domain.
_AROUND_ADDRESS: Final = "<>()'\". "
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

    `outside` keeps the quotes of quoted strings and has no comments. `is_unbalanced` is whether a bracket or a
    quotation mark lacks its counterpart.
    """

    outside: str = ""
    inside: str | None = None
    is_unbalanced: bool = False


def _pieces(text: str, is_lenient: bool = True, longest: int = MAX_STRUCTURED) -> Iterator[_Piece]:
    """Split an address list at commas, and at the colon and semicolon of a group (RFC 5322 §3.4).

    @param is_lenient: ignore a quotation mark or a parenthesis that is never closed, which would hide the rest.
    @param longest: characters of the list that are read.
    """
    text = text[:longest]
    piece = _Piece()
    begin = opened = 0
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

    for found in _RUN.finditer(text):
        character, at = found[0], found.start()
        if character[0] not in _SIGNS:
            has_at = has_at or ("@" in character and not depth)
            escaped = False
            if not depth:
                into.append(character)
        elif escaped:
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
            opened = opened if depth else at
            depth += 1
        elif depth:
            depth -= character == ")"
        elif character == '"':
            quoted, opened = True, at
            into.append(character)
        elif character == "<" and not angle:
            if piece.inside is not None and "@" in piece.inside:
                # A comma is missing.
                yield piece
                piece, begin = _Piece(is_unbalanced=True), at
            end()
            if piece.inside is not None:
                piece.outside, piece.is_unbalanced = f"{piece.outside}<{piece.inside}>", True
            angle = True
        elif character == ">" and angle:
            end()
            angle = False
        elif character == ">" and piece.inside is not None:
            piece.is_unbalanced = True
        elif character in ",;" and not angle:
            yield end()
            piece, begin = _Piece(), at + 1
        elif character == ":" and not angle and piece.inside is None and not has_at:
            # The name of a group. Its members follow.
            into.clear()
            piece, begin = _Piece(), at + 1
        else:
            into.append(character)
    if is_lenient and (quoted or depth):
        for one in _pieces(text[begin:opened] + text[opened + 1 :].translate(_UNCLOSED), is_lenient=False):
            one.is_unbalanced = True
            yield one
        return
    piece.is_unbalanced = piece.is_unbalanced or angle
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
        text = _AROUND_SIGNS.sub(r"\1", _BLANKS.sub(" ", text).strip())
    return parse_foreign(text)


def _read(piece: _Piece) -> Mailbox:
    """Read a mailbox of a received field, also one that is not written as it should be.

    @raise AddressSyntaxError: it has no address that can be used.
    """
    name = _one_line(decode_words(_name(piece.outside))) if piece.inside is not None else ""
    text = piece.outside if piece.inside is None else piece.inside
    try:
        return Mailbox(name, _address(text))
    except AddressSyntaxError:
        # "mailto:" belongs to a link, and a name can stand in front of an address without brackets.
        words = text.split() or [""]
        last = words[-1].lstrip(_AROUND_ADDRESS.replace(".", "")).rstrip(_AROUND_ADDRESS)
        last = last[7:] if last.lower().startswith("mailto:") else last
        if not any("@" in word for word in words[:-1]):
            return Mailbox(name or _one_line(decode_words(_name(" ".join(words[:-1])))), parse_foreign(last))
        raise


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

    @raise AddressSyntaxError: one of them is malformed. The message quotes it. Or they are too many for one list.
    """
    if len(text) > MAX_STRUCTURED:
        # The rest would get nothing, and the last address would be cut into that of somebody else.
        raise AddressSyntaxError(f"more than {MAX_STRUCTURED:,} characters in a list of addresses")
    if _CONTROL.search(text):
        raise AddressSyntaxError("control characters in an address")
    found = []
    for piece in _pieces(text, is_lenient=False):
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


def read_mailboxes(text: str, longest: int | None = None) -> list[Mailbox]:
    """Parse the mailboxes of a received field. Names are decoded, malformed mailboxes are left out.

    @param text: the field unfolded, but not decoded.
    @param longest: characters of the field that are read. None: the whole mailboxes in as many as are read of a field.
    """
    found = []
    for piece in _pieces(_whole(text)) if longest is None else _pieces(text, longest=longest):
        if "@" not in piece.outside and (piece.inside is None or "@" not in piece.inside):
            continue
        try:
            found.append(_read(piece))
        except AddressSyntaxError:
            continue
    return found


def _whole(text: str) -> str:
    """Return as much of a list as is read, without the mailbox at the limit: cut, it may name somebody else."""
    if len(text) <= MAX_STRUCTURED:
        return text
    comma = text.rfind(",", 0, MAX_STRUCTURED)
    return text[:comma] if comma > 0 else text


def unusable_addresses(text: str) -> list[str]:
    """Return what a received field has in place of addresses and `read_mailboxes` leaves out, on one line each.

    @param text: the field unfolded, but not decoded.
    """
    unread = _one_line(text[len(_whole(text)) :].lstrip(", "))
    return [*(written for written, mailbox in _flawed(text) if mailbox is None), *filter(None, [unread])]


def guessed_addresses(text: str) -> list[tuple[str, Address]]:
    """Return what a received field has in place of well-formed mailboxes, and the address that each is read as.

    @param text: the field unfolded, but not decoded.
    """
    return [(written, mailbox.address) for written, mailbox in _flawed(text) if mailbox is not None]


def _flawed(text: str) -> Iterator[tuple[str, Mailbox | None]]:
    """Yield each malformed mailbox as it is written, and as it is read; None if it has no usable address."""
    for piece in _pieces(_whole(text)):
        written = (piece.outside if piece.inside is None else piece.inside).strip()
        shown = _one_line(f"{_name(piece.outside)} <{written}>" if piece.inside is not None else written)
        try:
            mailbox = _read(piece)
        except AddressSyntaxError:
            if written or piece.inside is not None:
                yield shown, None
            continue
        if piece.is_unbalanced or not _is_well_formed(written):
            yield shown, mailbox


def _is_well_formed(written: str) -> bool:
    try:
        _address(written)
        if written.startswith("@"):
            return True
        parse(written if '"' in written else _AROUND_SIGNS.sub(r"\1", _BLANKS.sub(" ", written)))
    except AddressSyntaxError:
        return False
    return True
