"""Encrypted, signed and wrapped parts of a message, named as what they are. None of them is opened or checked here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emailsys.mail.message.mime import Part

_ENCRYPTED: Final = "is encrypted with {}, and cannot be read here"
_SIGNED: Final = "is signed with {}. The signature is not checked"
_WRAPPED: Final = "is signed with S/MIME, and its text is inside the signature: it cannot be read here, nor checked"
_UNKNOWN: Final = "is encrypted or signed with S/MIME, and cannot be read here"
# RFC 8551 §3.2.2: what the parameter smime-type says of application/pkcs7-mime.
_SMIME: Final = {
    "enveloped-data": _ENCRYPTED.format("S/MIME"),
    "authenveloped-data": _ENCRYPTED.format("S/MIME"),
    "signed-data": _WRAPPED,
    "certs-only": "has certificates for S/MIME, and no text",
    "compressed-data": "is compressed as S/MIME does it, and cannot be read here",
}
_TNEF: Final = (
    "is a winmail.dat of Microsoft Outlook. The attachments in it are not listed: save it, and open it with a program "
    "for TNEF files"
)
# RFC 9580 §6.2: the first lines of OpenPGP text in a message that is not PGP/MIME.
_ARMOUR: Final = {
    "-----BEGIN PGP MESSAGE-----": _ENCRYPTED.format("OpenPGP"),
    "-----BEGIN PGP SIGNED MESSAGE-----": _SIGNED.format("OpenPGP"),
}
# Lines of a text in which armour is looked for: greetings and notes may stand above it.
_SEARCHED: Final = 50
_MAX_TOLD: Final = 10


def protection_of(root: Part) -> list[str]:
    """Return a sentence for each part that is encrypted, signed or a winmail.dat."""
    told = [
        f"Part {part.number} {what}." if part.level else f"This message {what}."
        for part in root.walk()
        for what in _kinds(part)
    ]
    return told if len(told) <= _MAX_TOLD else [*told[:_MAX_TOLD], f"And {len(told) - _MAX_TOLD} more such parts."]


def _kinds(part: Part) -> Iterator[str]:
    kind = part.content_type.replace("/x-pkcs7", "/pkcs7")
    protocol = part.parameters.get("protocol", "").strip().lower().replace("/x-pkcs7", "/pkcs7")
    if kind == "multipart/encrypted":
        yield _ENCRYPTED.format("OpenPGP" if protocol in ("", "application/pgp-encrypted") else protocol)
    elif kind == "multipart/signed":
        yield _SIGNED.format(
            "S/MIME" if "pkcs7" in protocol else "OpenPGP" if "pgp" in protocol else "an unknown method"
        )
    elif kind == "application/pkcs7-mime":
        yield _SMIME.get(part.parameters.get("smime-type", "").strip().lower(), _UNKNOWN)
    elif kind in ("application/ms-tnef", "application/vnd.ms-tnef") or part.name.lower() == "winmail.dat":
        yield _TNEF
    elif kind == "text/plain" and part.is_leaf and b"-----BEGIN PGP " in part.decoded()[0]:
        lines = part.text()[0].split("\n", _SEARCHED)[:_SEARCHED]
        yield from {_ARMOUR[line.rstrip()]: None for line in lines if line.rstrip() in _ARMOUR}
