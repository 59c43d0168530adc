"""vCard files (RFC 6350, and 3.0 and 2.1 as other programs write them): import and export of contacts."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from emailsys.client.contacts.book import Contact, ContactError, checked, name_of
from emailsys.client.text.terminal import safe_line
from emailsys.mail.address import Address, AddressSyntaxError, parse_foreign
from emailsys.mail.message.charsets import decode_charset

_FOLD: Final = re.compile(r"\r?\n[ \t]")
_NOT_IN_SHORT_NAME: Final = re.compile(r"[^\w.+-]+")
_BARE: Final = re.compile(r";([A-Za-z0-9-]+)(?=;|$)")
# RFC 6350 §3.2: a line has at most 75 octets.
_LINE: Final = 75


@dataclass(slots=True)
class _Card:
    formatted_name: str = ""
    given_and_family_name: str = ""
    short_name: str = ""
    is_group: bool = False
    addresses: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the contact."""
        return name_of(self.formatted_name or self.given_and_family_name)


def read_cards(octets: bytes, taken: Iterable[str] = ()) -> tuple[list[Contact], list[str]]:
    """Read the cards of a file.

    @param taken: short names that must not be used again.
    @return: the contacts, and a sentence for each card that cannot be used.
    @raise ContactError: the file has no card.
    """
    used = {name.casefold() for name in taken}
    contacts: list[Contact] = []
    left_out: list[str] = []
    number = 0
    for number, card in enumerate(_cards(_text(octets)), 1):
        addresses = []
        for _, text in sorted(card.addresses, key=lambda one: one[0]):
            try:
                addresses.append(parse_foreign(text))
            except AddressSyntaxError as error:
                left_out.append(f"card {number}: {error}: {safe_line(text)[:80]!r}")
        if not addresses:
            left_out.append(f"card {number} ({card.name or 'without a name'}) has no mail address")
            continue
        short_name = _free_name(card, addresses[0], used)
        used.add(short_name.casefold())
        unique = tuple({one.key: one for one in addresses}.values())
        # Our own cards have the short name as the name that RFC 6350 §6.2.1 demands.
        name = card.name if card.name != card.short_name else ""
        try:
            contacts.append(checked(Contact(short_name, name, unique, card.is_group)))
        except ContactError as error:
            left_out.append(f"card {number}: {error}")
    if not number:
        raise ContactError("there is no vCard in it: no line BEGIN:VCARD")
    return contacts, left_out


def _text(octets: bytes) -> str:
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return octets.decode("utf-16", "replace")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("windows-1252", "replace")


def _cards(text: str) -> Iterator[_Card]:
    from icalendar.parser import Contentline

    content_line: Any = Contentline
    card: _Card | None = None
    # A line of vCard 2.1 in quoted-printable goes on after a soft line break.
    text = re.sub(r"(?m)^([^\r\n]*QUOTED-PRINTABLE[^\r\n]*)=\r?\n", r"\1", _FOLD.sub("", text), flags=re.I)
    for line in text.splitlines():
        before, colon, after = line.partition(":")
        try:
            # vCard 2.1 has parameters without a name: EMAIL;INTERNET;PREF:bob@example.org.
            name, found, value = content_line(_BARE.sub(r";TYPE=\1", before) + colon + after).parts()
        except ValueError:
            continue
        name = name.rpartition(".")[2].upper()
        parameters = {key.upper(): _words(one) for key, one in found.items()}
        if name == "BEGIN" and value.upper() == "VCARD":
            card = _Card()
        elif card is not None and name == "END":
            yield card
            card = None
        elif card is not None:
            if "QUOTED-PRINTABLE" in (*parameters.get("ENCODING", ()), *parameters.get("TYPE", ())):
                charset = parameters.get("CHARSET", ["utf-8"])[0]
                value = decode_charset(quopri.decodestring(value.encode("utf-8", "replace")), charset)[0]
            _read_line(card, name, parameters, value.strip())
    if card is not None:
        # The last card has no END.
        yield card


def _words(value: str | list[str]) -> list[str]:
    return [one.upper() for one in ([value] if isinstance(value, str) else value)]


def _read_line(card: _Card, name: str, parameters: Mapping[str, Sequence[str]], value: str) -> None:
    match name:
        case "FN":
            card.formatted_name = card.formatted_name or value
        case "N":
            family, given, *_ = [*value.split(";"), "", ""]
            card.given_and_family_name = f"{given} {family}".strip()
        case "NICKNAME":
            card.short_name = card.short_name or value.split(",")[0]
        case "KIND" | "X-ADDRESSBOOKSERVER-KIND":
            card.is_group = value.lower() == "group"
        case "EMAIL":
            # RFC 6350 §5.3: 1 is the most preferred; in 3.0 it is TYPE=PREF.
            (rank_text,) = parameters.get("PREF", ["100"])[:1]
            rank = int(rank_text) if re.fullmatch(r"[0-9]{1,3}", rank_text) else 100
            rank = 1 if "PREF" in parameters.get("TYPE", ()) else rank
            card.addresses.append((rank, re.sub(r"(?i)^mailto:", "", value)))
        case "MEMBER" | "X-ADDRESSBOOKSERVER-MEMBER" if value.lower().startswith("mailto:"):
            card.addresses.append((100, unquote(value[7:].partition("?")[0])))


def _free_name(card: _Card, address: Address, used: set[str]) -> str:
    wanted = card.short_name or (card.name if card.is_group else "") or address.local
    base = _NOT_IN_SHORT_NAME.sub("-", wanted.strip().lower()).strip("-.+")[:60] or "contact"
    name, number = base, 2
    while name.casefold() in used:
        name, number = f"{base}{number}", number + 1
    return name


def write_cards(contacts: Iterable[Contact]) -> bytes:
    """Write contacts as vCards of version 4.0, with CRLF lines."""
    lines = []
    for one in contacts:
        lines += ["BEGIN:VCARD", "VERSION:4.0"]
        if one.is_group:
            lines.append("KIND:group")
        lines += [f"FN:{_escaped(one.name or one.short_name)}", f"NICKNAME:{_escaped(one.short_name)}"]
        if one.is_group:
            lines += [f"MEMBER:mailto:{quote(str(address), safe='@!$*+')}" for address in one.addresses]
        else:
            lines += [f"EMAIL;PREF={number}:{_escaped(str(one.addresses[number - 1]))}"
                      for number in range(1, min(len(one.addresses), 100) + 1)]  # fmt: skip
        lines.append("END:VCARD")
    return "".join(f"{_folded(line)}\r\n" for line in lines).encode()


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text)


def _folded(line: str) -> str:
    pieces: list[str] = []
    piece = ""
    for character in line:
        if len((piece + character).encode()) > _LINE - bool(pieces):
            pieces.append(piece)
            piece = ""
        piece += character
    return "\r\n ".join([*pieces, piece])
