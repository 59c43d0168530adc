"""Words about encrypted, signed and wrapped parts of a message: what they are, what was checked, and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.crypto.values import DecryptionState, Layer, Method, Opened, Signature, SignatureState
from emailsys.client.text.frames import frame
from emailsys.client.text.terminal import safe_line
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
_MAX_SIGNER: Final = 100
_DECRYPTION: Final = {
    DecryptionState.DECRYPTED: "was encrypted with {}",
    DecryptionState.NO_KEY: "is encrypted with {}, for keys of which you have none",
    DecryptionState.LOCKED: "is encrypted with {}. Your key needs its passphrase, and nobody was asked for it",
    DecryptionState.FAILED: "is encrypted with {}, and is damaged or was changed: nothing of it is shown",
    DecryptionState.TOO_LARGE: "is encrypted with {}, and is too large to be shown when decrypted",
    DecryptionState.UNOPENED: _ENCRYPTED,
}
_VERDICTS: Final = {
    SignatureState.GOOD: "signed by {signer}. The signature is right",
    SignatureState.UNTRUSTED: (
        "signed by {signer}. The signature is right, but you have not certified that the key "
        "is theirs: compare fingerprints, then run gpg --lsign-key {key}"
    ),
    SignatureState.OTHER_SIGNER: "signed by {signer}, and not by the author in From. Somebody else may have written it",
    SignatureState.WEAK: "signed by {signer} with {hash}, which can be forged",
    SignatureState.FUTURE: "signed by {signer}, with a date that lies ahead: {made}",
    SignatureState.EXPIRED: "signed by {signer}. The signature is right, but has expired",
    SignatureState.KEY_EXPIRED: "signed by {signer}. The signature is right, but the key has expired",
    SignatureState.KEY_REVOKED: "signed by {signer} with a key that was revoked: others may have it",
    SignatureState.NO_KEY: "signed with {method}. You do not have the key, {key}: the signature is not checked",
    SignatureState.BAD: (
        "signed with {method}, and the signature is WRONG: the text was changed on the way, or is not what was signed"
    ),
    SignatureState.UNCHECKED: "signed with {method}. The signature is not checked",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence about a part, safe for a terminal. @ivar is_good: nothing is wrong with it."""

    text: str
    is_good: bool = False


def protection_of(opened: Opened) -> list[Told]:
    """Return a sentence for each part that is encrypted, signed or a winmail.dat."""
    told = [one for layer in opened.layers for one in _of_layer(layer)]
    handled = {layer.part for layer in opened.layers}
    told += [
        Told(f"{_subject(part.number, part.level == 0)} {what}.")
        for part in opened.root.walk()
        # What stands in the place of a protected part was opened as far as it can be.
        if part.number not in handled and not (part.content_type == "text/plain" and "0" in part.number.split("."))
        for what in _kinds(part)
    ]
    if any(layer.decryption and layer.is_open for layer in opened.layers) and not any(
        layer.signatures for layer in opened.layers
    ):
        told.append(Told("The encrypted text is not signed: anybody may have written it."))
    return (
        told if len(told) <= _MAX_TOLD else [*told[:_MAX_TOLD], Told(f"And {len(told) - _MAX_TOLD} more such parts.")]
    )


def _subject(number: str, is_whole: bool) -> str:
    return "This message" if is_whole else f"Part {number}"


def _of_layer(layer: Layer) -> Iterator[Told]:
    subject = _subject(layer.part, layer.is_whole)
    why = f" ({safe_line(layer.reason)})" if layer.reason else ""
    if layer.decryption is not None:
        words = _DECRYPTION[layer.decryption].format(layer.method.value)
        yield Told(f"{subject} {words}{why}.", layer.decryption is DecryptionState.DECRYPTED)
    for one in layer.signatures:
        reason = f" ({safe_line(one.reason)})" if one.reason else ""
        yield Told(f"{subject} is {verdict(one, layer.method)}{reason}.", one.state is SignatureState.GOOD)


_SMIME_UNTRUSTED: Final = (
    "signed by a certificate for {signer}. The signature is right, but the certificate is not from a CA that your "
    "system trusts for mail, or has expired"
)


def verdict(signature: Signature, method: Method) -> str:
    """Return the verdict on a signature, without subject and full stop. It is safe for a terminal."""
    words = _VERDICTS[signature.state]
    if method is Method.SMIME and signature.state is SignatureState.UNTRUSTED:
        words = _SMIME_UNTRUSTED
    return words.format(
        signer=_signer(signature, method),
        key=safe_line(signature.key) or "of unknown id",
        hash=signature.hash_name.upper(),
        made=f"{signature.made:%Y-%m-%d %H:%M} UTC" if signature.made else "none",
        method=method.value,
    )


def _signer(signature: Signature, method: Method) -> str:
    name = safe_line(signature.signer)[:_MAX_SIGNER] or "somebody"
    is_known = signature.certified or method is Method.SMIME
    return name if is_known else f"a key that calls itself {name}"


def frame_of(layers: Sequence[Layer]) -> str:
    """Return the line above a text that only some layers cover: how it is protected."""
    words = []
    for layer in layers:
        if layer.decryption is not None:
            words.append(f"part {layer.part}, decrypted")
        for one in layer.signatures:
            signer = f" by {_signer(one, layer.method)}" if one.signer else ""
            words.append(f"part {layer.part}, signed{signer}: {one.state.value}")
    return frame("; ".join(words) or "this text is not signed")


def _kinds(part: Part) -> Iterator[str]:
    kind = part.content_type.replace("/x-pkcs7", "/pkcs7")
    protocol = part.parameters.get("protocol", "").strip().lower().replace("/x-pkcs7", "/pkcs7")
    if kind == "multipart/encrypted":
        yield _ENCRYPTED.format("OpenPGP" if protocol in ("", "application/pgp-encrypted") else safe_line(protocol))
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
