"""The contact book contacts.toml: people and groups by short name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from emailsys.client.accounts.values import AccountError
from emailsys.client.archive.files import changing, rewrite
from emailsys.client.archive.values import ArchiveError
from emailsys.client.compose.completion import address_pieces
from emailsys.mail.address import Address, AddressSyntaxError, parse_foreign
from emailsys.mail.message.mailboxes import Mailbox

# A short name never looks like an address, and is never split in a list of addresses.
_SHORT_NAME: Final = re.compile(r"[\w][\w.+-]{0,63}")
_MAX_NAME: Final = 200
_MAX_ADDRESSES: Final = 1000


class ContactError(AccountError):
    """The contact book, or a contact, is invalid. The message can be shown to the user."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A person or a group.

    - `short_name` stands for it in To, Cc and Bcc: letters, digits and `.`, `_`, `-`, `+`, up to 64.
    - `addresses`: of a person, the first one is used; of a group, all are.
    """

    short_name: str
    name: str
    addresses: tuple[Address, ...]
    is_group: bool = False

    @property
    def mailboxes(self) -> list[Mailbox]:
        """The mailboxes that the short name stands for."""
        if self.is_group:
            return [Mailbox("", address) for address in self.addresses]
        return [Mailbox(self.name, self.addresses[0])]


def name_of(text: str) -> str:
    """Return a text from outside as the name of a contact: one line, without characters that cannot be printed."""
    return "".join(filter(str.isprintable, " ".join(text.split())))[:_MAX_NAME]


def checked_short_name(typed: str) -> str:
    """Return a short name that the user typed. @raise ContactError: it is not a valid short name."""
    name = typed.strip()
    if not _SHORT_NAME.fullmatch(name):
        raise ContactError(
            f"{name!r} is not a short name: use letters, digits and . _ - +, up to 64, beginning with a letter or digit"
        )
    return name


def checked(contact: Contact) -> Contact:
    """Return a contact that can be kept. @raise ContactError: it cannot."""
    checked_short_name(contact.short_name)
    if not contact.name.isprintable() or len(contact.name) > _MAX_NAME:
        raise ContactError(f"{contact.short_name}: the name must be one line of up to {_MAX_NAME} characters")
    if not 1 <= len(contact.addresses) <= _MAX_ADDRESSES:
        raise ContactError(f"{contact.short_name}: needs 1 to {_MAX_ADDRESSES} addresses")
    return contact


class ContactBook:
    """contacts.toml, mode 0600. Methods block."""

    def __init__(self, path: Path) -> None:
        """@param path: for example `locations.contacts_file()`. The first contact creates file and folder."""
        self._path = path
        # The state of the file when it was read, and its contacts.
        self._read: tuple[tuple[int, ...], Mapping[str, Contact]] = (), {}

    def load(self) -> Mapping[str, Contact]:
        """Return the contacts by short name. Without a file there are none.

        The file is read again only if it changed: completion asks at each key.

        @raise ContactError: the file is invalid.
        """
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if state == self._read[0]:
                return self._read[1]
            document = tomllib.loads(self._path.read_bytes().decode("utf-8-sig"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ContactError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ContactError(f"{self._path}: is not TOML: {error}") from error
        contacts = {name: self._contact(name, table) for name, table in document.items()}
        self._read = state, MappingProxyType(contacts)
        return self._read[1]

    def put(self, contacts: Iterable[Contact]) -> None:
        """Add or replace contacts, and sync the file. @raise ContactError: one is invalid, or the disk refuses."""
        added = {one.short_name: one for one in {one.short_name.casefold(): checked(one) for one in contacts}.values()}
        names = {name.casefold() for name in added}
        # Short names that differ only in case would stand for each other.
        self._change(lambda book: {name: one for name, one in book.items() if name.casefold() not in names} | added)

    def remove(self, short_name: str) -> None:
        """Remove a contact. @raise ContactError: there is none with that short name."""

        def change(book: Mapping[str, Contact]) -> Mapping[str, Contact]:
            if short_name not in book:
                raise ContactError(f"there is no contact {short_name!r}. To list them: emailsys mail contact list")
            return {name: one for name, one in book.items() if name != short_name}

        self._change(change)

    def expand(self, text: str) -> str:
        """Replace the short names in a list of addresses, such as "bob, team, ann@example.org", by addresses.

        Everything else stays as it was typed.
        """
        pieces = address_pieces(text)
        if not any(_SHORT_NAME.fullmatch(one) for one in pieces):
            return text
        exact = self.load()
        folded = {name.casefold(): contact for name, contact in exact.items()}
        found = [exact.get(one) or folded.get(one.casefold()) for one in pieces]
        if not any(found):
            return text
        return ", ".join(
            piece if contact is None else ", ".join(map(str, contact.mailboxes))
            for piece, contact in zip(pieces, found, strict=True)
        )

    def find(self, typed: str) -> list[Contact]:
        """Return the contacts with a short name, a name or an address that begins with what was typed."""
        begin = typed.casefold().strip()
        if not begin:
            return []
        return [
            one
            for one in self.load().values()
            if any(
                word.casefold().startswith(begin)
                for word in (one.short_name, one.name, *one.name.split(), *map(str, one.addresses))
            )
        ]

    def _contact(self, name: str, table: Any) -> Contact:
        try:
            match table:
                case {"addresses": [str(), *_] as texts, **rest} if set(rest) <= {"name", "group"}:
                    shown, is_group = rest.get("name", ""), rest.get("group", False)
                    if isinstance(shown, str) and isinstance(is_group, bool):
                        addresses = tuple(parse_foreign(str(text)) for text in texts)
                        return checked(Contact(name, shown, addresses, is_group))
        except AddressSyntaxError as error:
            raise ContactError(f"{self._path}: {name}: {error}") from None
        except ContactError as error:
            raise ContactError(f"{self._path}: {error}") from None
        raise ContactError(
            f'{self._path}: {name}: allowed: addresses = ["bob@example.org"], name = "Bob", and group = true'
        )

    def _change(self, change: Callable[[Mapping[str, Contact]], Mapping[str, Contact]]) -> None:
        try:
            with changing(self._path):
                rewrite(self._path, _written(change(self.load())).encode())
        except ArchiveError as error:
            raise ContactError(str(error)) from error


def _written(book: Mapping[str, Contact]) -> str:
    lines = ["# Contacts of emailsys mail. `emailsys mail contact` rewrites this file."]
    for one in sorted(book.values(), key=lambda one: one.short_name.casefold()):
        lines += ["", f"[{_string(one.short_name)}]"]
        if one.name:
            lines.append(f"name = {_string(one.name)}")
        lines.append(f"addresses = [{', '.join(_string(str(address)) for address in one.addresses)}]")
        if one.is_group:
            lines.append("group = true")
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    # JSON strings are valid TOML except for DEL, which no accepted value contains.
    return json.dumps(text, ensure_ascii=False)
