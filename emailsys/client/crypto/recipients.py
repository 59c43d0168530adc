"""Keys of recipients: which key a message to an address is encrypted with, and why it may be none."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from emailsys.client.crypto.keys import Key
from emailsys.mail.address import Address


class KeyState(enum.Enum):
    """Whether a message to an address can be encrypted."""

    READY = "key"
    #: There is a key with the address, but nobody whom the user trusts has certified that it belongs to it.
    NOT_CERTIFIED = "key not certified"
    EXPIRED = "key expired"
    REVOKED = "key revoked"
    #: Disabled, or only for signatures.
    UNUSABLE = "key cannot encrypt"
    MISSING = "no key"


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """The key of one recipient. `fingerprint` is "" if there is none that can be used."""

    address: Address
    state: KeyState
    fingerprint: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether gpg can encrypt with it."""
        return self.state in (KeyState.READY, KeyState.NOT_CERTIFIED)


def key_for(address: Address, keys: Sequence[Key]) -> RecipientKey:
    """Return the key for an address: a certified one, or else another one with that address."""
    having = [key for key in keys if any(user.address == address.key for user in key.users)]
    usable = [key for key in having if not key.state and key.can_encrypt and key.has(address)]
    for key in usable:
        if key.has(address, certified=True):
            return RecipientKey(address, KeyState.READY, key.fingerprint)
    if usable:
        return RecipientKey(address, KeyState.NOT_CERTIFIED, usable[0].fingerprint)
    states = {"expired": KeyState.EXPIRED, "revoked": KeyState.REVOKED}
    if having:
        return RecipientKey(address, states.get(having[0].state, KeyState.UNUSABLE))
    return RecipientKey(address, KeyState.MISSING)
