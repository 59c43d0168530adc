"""Signing and encrypting a draft with OpenPGP: what will be done, why it cannot be done, and the message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from emailsys.client.accounts.values import Encrypt
from emailsys.client.compose import message_builder
from emailsys.client.compose.draft import ComposeError, Draft, PassphraseNeeded
from emailsys.client.compose.message_builder import OutgoingMessage, Protected
from emailsys.client.crypto.gpg import Gpg
from emailsys.client.crypto.keys import Key
from emailsys.client.crypto.recipients import KeyState, RecipientKey, key_for
from emailsys.client.crypto.values import CryptoError, Locked


class NotCertified(ComposeError):
    """Keys of recipients are not certified. The user may accept them.

    @ivar keys: the keys.
    """

    def __init__(self, keys: Sequence[RecipientKey]) -> None:
        names = ", ".join(f"{one.address} (key {one.fingerprint})" for one in keys)
        super().__init__(
            f"You have not certified that these keys belong to their addresses: {names}. Compare fingerprints, then "
            "run gpg --lsign-key, or send without encryption."
        )
        self.keys = tuple(keys)


@dataclass(frozen=True, slots=True)
class Plan:
    """The protection that a draft gets when it is sent.

    @ivar recipients: the keys of all recipients, if it may be encrypted.
    @ivar problem: why it cannot be sent like this; "" if it can.
    """

    sign: bool
    encrypt: bool
    own: Key | None = None
    recipients: tuple[RecipientKey, ...] = ()
    problem: str = ""

    def not_certified(self, accepted: frozenset[str]) -> list[RecipientKey]:
        """Return the keys that the user has neither certified nor accepted."""
        keys = self.recipients if self.encrypt else ()
        return [one for one in keys if one.state is KeyState.NOT_CERTIFIED and one.fingerprint not in accepted]

    @property
    def words(self) -> str:
        """The state in a few words, with the recipients whose keys cannot be used."""
        done = " and ".join([*["signed"] * self.sign, *["encrypted"] * self.encrypt]) or "neither signed nor encrypted"
        lacking = [f"{one.address}: {one.state.value}" for one in self.recipients if one.state is not KeyState.READY]
        return "; ".join([done, *lacking])


def plan(draft: Draft, gpg: Gpg | None, own_key: str = "") -> Plan:
    """Decide how a draft is protected. Never plans a clear message for a draft that is to be encrypted.

    @param own_key: the key of the account, by its id; "" for the one with the address of the sender.
    """
    is_certain = draft.encrypt is Encrypt.ALWAYS
    if not draft.sign and draft.encrypt is Encrypt.NEVER:
        return Plan(False, False)
    lack = "gpg is not installed, so the message cannot be signed or encrypted. Install GnuPG."
    if gpg is not None:
        try:
            return _plan(draft, gpg, own_key, is_certain)
        except OSError as error:
            lack = f"gpg cannot be run: {error.strerror}. The message cannot be signed or encrypted."
    return Plan(draft.sign, is_certain, problem=lack if draft.sign or is_certain else "")


def _plan(draft: Draft, gpg: Gpg, own_key: str, is_certain: bool) -> Plan:
    recipients: tuple[RecipientKey, ...] = ()
    if draft.encrypt is not Encrypt.NEVER:
        keys = gpg.public_keys()
        addresses = {one.address.key: one.address for one in (*draft.to, *draft.cc, *draft.bcc)}
        recipients = tuple(key_for(one, keys) for one in addresses.values())
    ready = bool(recipients) and all(one.state is KeyState.READY for one in recipients)
    encrypt = is_certain or (draft.encrypt is Encrypt.WHEN_POSSIBLE and ready)
    own, problem = _own(draft, gpg, own_key, draft.sign, encrypt)
    if problem and encrypt and not is_certain and not draft.sign:
        # Without a key of one's own, encryption is not possible.
        return Plan(False, False, recipients=recipients)
    if not problem and is_certain and (lacking := [one for one in recipients if not one.is_usable]):
        names = ", ".join(f"{one.address} ({one.state.value})" for one in lacking)
        problem = f"The message cannot be encrypted for {names}. Import a key, or send without encryption."
    return Plan(draft.sign, encrypt, own, recipients, problem)


def _own(draft: Draft, gpg: Gpg, own_key: str, sign: bool, encrypt: bool) -> tuple[Key | None, str]:
    address = draft.sender.address if draft.sender is not None else None
    if own_key:
        try:
            own = gpg.secret_key(own_key)
        except ValueError:
            return None, f"openpgp_key of the account, {own_key!r}, is not the id of a key."
    else:
        own = next((one for one in gpg.secret_keys() if address and not one.state and one.has(address)), None)
    if own is None or own.state or (sign and not own.can_sign) or (encrypt and not own.can_encrypt):
        what = f"key {own_key}" if own_key else f"key of your own for {address}"
        why = f"is {own.state}" if own is not None and own.state else "is not there, or cannot sign and encrypt"
        return None, f"The {what} {why}. Make one: gpg --quick-generate-key {address} default default"
    return own, ""


def build(draft: Draft, now: datetime, gpg: Gpg | None, own_key: str = "", ask: bool = False) -> OutgoingMessage:
    """Build the message as `message_builder.build` does, signed and encrypted as the draft says.

    Bcc recipients of an encrypted message get it as hidden recipients: it has no id of their keys.

    @param ask: whether gpg may ask for a passphrase.
    @raise PassphraseNeeded: it would have to.
    @raise NotCertified: a key is not certified, and not among `draft.accepted_keys`.
    @raise ComposeError: the draft is incomplete, or cannot be protected.
    """
    todo = plan(draft, gpg, own_key)
    clear = message_builder.build(draft, now)
    if not todo.sign and not todo.encrypt:
        return clear
    if todo.problem or gpg is None or todo.own is None:
        raise ComposeError(todo.problem)
    if waiting := todo.not_certified(draft.accepted_keys):
        raise NotCertified(waiting)
    own, sign = todo.own.fingerprint, todo.sign
    seen = {one.address.key for one in (*draft.to, *draft.cc)}
    named = [one.fingerprint for one in todo.recipients if one.address.key in seen]
    hidden = [one.fingerprint for one in todo.recipients if one.address.key not in seen]
    try:
        if todo.encrypt:

            def encrypt(payload: bytes) -> bytes:
                return gpg.encrypt(payload, [own, *named], hidden, own if sign else None, ask)

            protected = Protected(encrypt=encrypt)
        else:
            protected = Protected(sign=lambda payload: gpg.sign(payload, own, ask))
        return message_builder.build(draft, now, protected)
    except Locked as locked:
        raise PassphraseNeeded(f"{locked} Unlock it, for example with: echo | gpg --clear-sign") from None
    except CryptoError as failed:
        raise ComposeError(str(failed)) from None
    except OSError as error:
        raise ComposeError(f"gpg cannot be run: {error.strerror}.") from None


def seal(draft: Draft, gpg: Gpg | None, own_key: str = "") -> Protected | None:
    """Return what encrypts a draft on the disk, for the user alone; None if it will not be encrypted for certain.

    @raise ComposeError: the user has no key.
    """
    if draft.encrypt is not Encrypt.ALWAYS:
        return None
    if gpg is None:
        raise ComposeError("gpg is not installed, so the draft cannot be encrypted.")
    try:
        own, problem = _own(draft, gpg, own_key, False, True)
    except OSError as error:
        raise ComposeError(f"gpg cannot be run: {error.strerror}.") from None
    if own is None:
        raise ComposeError(problem)
    fingerprint = own.fingerprint

    def encrypt(payload: bytes) -> bytes:
        try:
            return gpg.encrypt(payload, [fingerprint])
        except (CryptoError, OSError) as failed:
            raise ComposeError(str(failed)) from None

    return Protected(encrypt=encrypt)
