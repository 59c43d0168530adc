"""Keys of the user's keyring, from the colon listing of gpg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.message.mailboxes import read_mailboxes

_ESCAPE: Final = re.compile(r"\\x([0-9a-fA-F]{2})")
# Validity of a user id: the user's own, or certified by somebody whom the user trusts fully.
_CERTIFIED: Final = frozenset("uf")
_UNUSABLE: Final = frozenset("irdne")
#: Digits of a key id or a fingerprint, as a user may write them.
KEY_ID: Final = re.compile(r"(?:0x)?((?:[0-9A-Fa-f] ?){16,64})")


@dataclass(frozen=True, slots=True)
class UserId:
    """A user id of a key. The text is not safe for a terminal."""

    text: str
    is_certified: bool
    is_usable: bool

    @property
    def address(self) -> tuple[str, str] | None:
        """The address in the form of `Address.key`; None if it has none, or several."""
        found = read_mailboxes(self.text)
        return found[0].address.key if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Key:
    """A key. `state` is "" if it can be used, or the reason why not."""

    fingerprint: str
    users: tuple[UserId, ...]
    can_encrypt: bool
    can_sign: bool
    state: str = ""

    def addresses(self, certified: bool = False) -> frozenset[tuple[str, str]]:
        """Return the addresses of the user ids that count. @param certified: only those that are certified."""
        users = (one for one in self.users if one.is_usable and (one.is_certified or not certified))
        return frozenset(one.address for one in users if one.address is not None)

    def has(self, address: Address, certified: bool = False) -> bool:
        """Whether the key has an address."""
        return address.key in self.addresses(certified)


def parse_keys(listing: bytes) -> list[Key]:
    """Parse the output of `gpg --list-keys --with-colons`."""
    found: list[Key] = []
    records: list[list[str]] = []
    for line in listing.split(b"\n"):
        fields = line.decode("utf-8", "replace").split(":")
        if fields[0] in ("pub", "sec"):
            found += _key(records)
            records = []
        records.append(fields + [""] * (12 - len(fields)))
    return found + _key(records)


def _key(records: Sequence[Sequence[str]]) -> list[Key]:
    fingerprint = next((one[9] for one in records if one[0] == "fpr"), "")
    if not records or records[0][0] not in ("pub", "sec") or not fingerprint:
        return []
    first = records[0]
    validity, capabilities = first[1], first[11]
    states = {"r": "revoked", "e": "expired", "i": "invalid", "d": "disabled"}
    users = tuple(
        UserId(
            _ESCAPE.sub(lambda code: chr(int(code[1], 16)), one[9]),
            one[1][:1] in _CERTIFIED,
            one[1][:1] not in _UNUSABLE,
        )
        for one in records
        if one[0] == "uid"
    )
    state = "disabled" if "D" in capabilities else states.get(validity[:1], "")
    return [Key(fingerprint, users, "E" in capabilities, "S" in capabilities, state)]


def key_id(text: str) -> str:
    """Return a key id or fingerprint as gpg takes it. @raise ValueError: it is not one."""
    found = KEY_ID.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return found[1].replace(" ", "").upper()
