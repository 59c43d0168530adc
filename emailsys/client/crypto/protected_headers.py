"""Protected header fields: those inside the signature or the encryption (RFC 9788, and the draft before it)."""

from __future__ import annotations

from typing import Final

from emailsys.client.crypto.values import Opened, SignatureState
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import Part

# The fields that are read. From decides whom a signature is compared with: see `protected_fields`.
_READ: Final = ("From", "Reply-To", "To", "Cc", "Date", "Subject")
_TRUSTED: Final = (SignatureState.GOOD, SignatureState.UNTRUSTED)


def protected_fields(opened: Opened) -> dict[str, str]:
    """Return the protected header fields of a message that count, unfolded, by name. They replace those outside.

    A From with another address than outside is left out: anybody can write one into encrypted text.
    """
    payload = opened.payload
    if payload is None or not is_protected(payload):
        return {}
    is_signed = any(one.state in _TRUSTED for layer in opened.layers if layer.is_whole for one in layer.signatures)
    if not opened.has_decrypted and not is_signed:
        return {}
    found = {name: field.text for name in _READ if (field := payload.first(name)) is not None}
    if _authors(payload) != _authors(opened.root):
        found.pop("From", None)
    return found


def is_protected(payload: Part) -> bool:
    """Whether a payload has protected header fields (RFC 9788 §2.1.1; `protected-headers="v1"` before)."""
    return (
        payload.parameters.get("hp", "").strip().lower() in ("clear", "cipher")
        or payload.parameters.get("protected-headers", "").strip().lower() == "v1"
    )


def other_author(opened: Opened) -> str:
    """Return the protected From, unfolded, if it names other people than the one outside; "" if not."""
    payload = opened.payload
    if payload is None or not is_protected(payload) or payload.first("from") is None:
        return ""
    return payload.text_of("from") if _authors(payload) != _authors(opened.root) else ""


def _authors(part: Part) -> set[tuple[str, str]]:
    return {one.address.key for one in read_mailboxes(part.text_of("from"))}
