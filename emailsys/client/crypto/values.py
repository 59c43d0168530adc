"""Values for a signed or encrypted part: its layers, and the verdict on each signature."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from emailsys.mail.message.mime import Part

#: Octets that a part may have after decryption: a compressed part can be a thousand times as large as it looks.
MAX_PLAIN: Final = 100_000_000


class CryptoError(Exception):
    """A message cannot be signed or encrypted. The text says why, and what to do."""


class Locked(CryptoError):
    """A secret key needs its passphrase, and the program that asks for it may not be started now."""


class Method(enum.Enum):
    """The two ways to protect mail."""

    OPENPGP = "OpenPGP"
    SMIME = "S/MIME"


class SignatureState(enum.Enum):
    """The verdict on a signature. Only `GOOD` says that the author of the message signed it."""

    #: The signature is right, and a key that the user or a CA certified for the address in From made it.
    GOOD = "good"
    #: The signature is right, but nobody whom the user trusts has certified that the key belongs to the address.
    UNTRUSTED = "key not certified"
    #: The signature is right, but its key has none of the addresses in From.
    OTHER_SIGNER = "other signer"
    #: The signature is right, but it uses a hash that can be forged.
    WEAK = "weak hash"
    #: The signature is right, but its date lies ahead.
    FUTURE = "dated in the future"
    EXPIRED = "expired"
    KEY_EXPIRED = "key expired"
    KEY_REVOKED = "key revoked"
    #: It cannot be checked without the key that made it.
    NO_KEY = "key missing"
    #: The text was changed, or the signature belongs to another text.
    BAD = "bad"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature. `signer` and `reason` come from the key and the programs, and are not safe for a terminal.

    @ivar addresses: the addresses of the key, in the form of `Address.key`.
    @ivar certified: those of `addresses` that a person whom the user trusts has certified.
    @ivar names: the user ids with these, by address. A key may have others, with any name.
    @ivar key: the fingerprint of the key, or its id if the key is missing.
    @ivar reason: why it was not checked.
    """

    state: SignatureState
    signer: str = ""
    key: str = ""
    made: datetime | None = None
    addresses: frozenset[tuple[str, str]] = frozenset()
    certified: frozenset[tuple[str, str]] = frozenset()
    names: tuple[tuple[tuple[str, str], str], ...] = ()
    hash_name: str = ""
    reason: str = ""


class DecryptionState(enum.Enum):
    """The results of decrypting a part."""

    DECRYPTED = "decrypted"
    #: None of the user's secret keys opens it.
    NO_KEY = "no secret key"
    #: The passphrase of the secret key is needed, and nobody was asked for it.
    LOCKED = "passphrase needed"
    #: It was changed, or it has no protection against changes. Nothing of it is shown.
    FAILED = "failed"
    TOO_LARGE = "too large"
    #: Nothing here can open it.
    UNOPENED = "not opened"


@dataclass(frozen=True, slots=True)
class Plain:
    """The result of a decryption, or of the verification of a text with its signature in it.

    @ivar octets: the text; b"" unless it may be shown.
    @ivar is_encrypted: whether it was encrypted, and not only signed.
    """

    state: DecryptionState
    octets: bytes = b""
    signatures: tuple[Signature, ...] = ()
    is_encrypted: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One signed or encrypted part.

    @ivar part: its number.
    @ivar decryption: None if it is only signed.
    @ivar is_whole: whether it covers all of the message that is shown.
    """

    part: str
    method: Method
    decryption: DecryptionState | None = None
    signatures: tuple[Signature, ...] = ()
    reason: str = ""
    is_whole: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the text of the part can be shown."""
        return self.decryption in (None, DecryptionState.DECRYPTED)


@dataclass(slots=True)
class Opened:
    """A message whose protected parts were checked and opened.

    @ivar root: the message. Decrypted parts stand in the place of the encrypted ones, numbered N.0.
    @ivar covering: for each leaf by `id`, the layers that cover it, the outermost first.
    @ivar payload: the part that all layers together cover, if they cover all of the message that is shown.
    """

    root: Part
    layers: list[Layer] = field(default_factory=list)
    covering: dict[int, tuple[Layer, ...]] = field(default_factory=dict)
    payload: Part | None = None

    @property
    def has_decrypted(self) -> bool:
        """Whether text of the message was encrypted."""
        return any(layer.decryption is DecryptionState.DECRYPTED for layer in self.layers)

    @property
    def is_locked(self) -> bool:
        """Whether a passphrase would open more of the message."""
        return any(layer.decryption is DecryptionState.LOCKED for layer in self.layers)
