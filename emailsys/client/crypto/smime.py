"""S/MIME signatures (RFC 8551), verified by openssl with the CAs that the system trusts."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.client.crypto.processes import Ran, run
from emailsys.client.crypto.values import MAX_PLAIN, Signature, SignatureState
from emailsys.mail.message.mailboxes import read_mailboxes

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_MAX_SIGNATURE: Final = 1_000_000
_SECONDS: Final = 60.0
_MAX_SIGNERS: Final = 5
# The OIDs of MD5 and SHA-1, in DER.
_WEAK: Final = (b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05", b"\x06\x05\x2b\x0e\x03\x02\x1a")


@dataclass(frozen=True, slots=True)
class Verified:
    """The signatures, and the text if it was inside; b"" unless its signature is right."""

    signatures: tuple[Signature, ...]
    content: bytes = b""


class SMime:
    """Runs openssl. It asks no network: whether a certificate was revoked is not known. Methods block."""

    def __init__(self, program: str) -> None:
        self._program = program

    def verify(self, signature: bytes, content: bytes | None = None) -> Verified:
        """Verify a signature. Never raises. @param content: the text; None if it is inside the signature."""
        try:
            return self._verify(signature, content)
        except OSError as error:
            reason = f"openssl cannot be run: {error.strerror}"
            return Verified((Signature(SignatureState.UNCHECKED, reason=reason),))

    def _verify(self, signature: bytes, content: bytes | None) -> Verified:
        if content is not None and len(signature) > _MAX_SIGNATURE:
            return Verified((Signature(SignatureState.UNCHECKED, reason="the signature is too large"),))
        with tempfile.TemporaryDirectory(prefix="emailsys-") as folder:
            signer = Path(folder) / "signer.pem"
            words = ["-signer", str(signer)]
            if content is not None:
                file = Path(folder) / "signature"
                file.write_bytes(signature)
                words += ["-in", str(file), "-content", _content(content, Path(folder))]
            is_trusted = True
            ran = self._run(words, signature if content is None else content)
            if ran.code and not ran.is_cut:
                # The signature may be right, and its certificate from an unknown CA, expired, or not for mail.
                is_trusted = False
                ran = self._run([*words, "-noverify"], signature if content is None else content)
            if ran.is_cut:
                return Verified(
                    (Signature(SignatureState.UNCHECKED, reason="openssl took too long, or the text is large"),)
                )
            if ran.code:
                return Verified((Signature(SignatureState.BAD),))
            found = _signers(signer.read_bytes(), is_trusted, _uses_weak_hash(signature))
        unknown = (Signature(SignatureState.UNCHECKED, reason="its certificate cannot be read"),)
        return Verified(found or unknown, ran.output if content is None else b"")

    def _run(self, words: list[str], data: bytes) -> Ran:
        start = [self._program, "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "smimesign"]
        return run([*start, *words], data, most=MAX_PLAIN, seconds=_SECONDS, environment=dict(os.environ))


def _content(content: bytes, folder: Path) -> str:
    """Return the path from which openssl reads a text: not a file, because the text may have been encrypted."""
    if sys.platform != "win32" and os.path.exists("/dev/stdin"):
        return "/dev/stdin"
    file = folder / "content"
    file.write_bytes(content)
    return str(file)


def _signers(pem: bytes, is_trusted: bool, is_weak: bool) -> tuple[Signature, ...]:
    from cryptography import x509

    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return ()
    return tuple(_signature(one, is_trusted, is_weak) for one in certificates[:_MAX_SIGNERS])


def _signature(certificate: Certificate, is_trusted: bool, is_weak: bool) -> Signature:
    from cryptography.hazmat.primitives.hashes import SHA256

    texts, name = _names(certificate)
    addresses = frozenset(one.address.key for text in texts for one in read_mailboxes(text)[:1])
    return Signature(
        SignatureState.GOOD,
        f"{name} <{texts[0]}>" if name and texts else name or (texts[0] if texts else ""),
        certificate.fingerprint(SHA256()).hex().upper(),
        addresses=addresses,
        certified=addresses if is_trusted else frozenset(),
        hash_name="sha1" if is_weak else "",
    )


def _names(certificate: Certificate) -> tuple[list[str], str]:
    """Return the addresses of a certificate (RFC 8550 §3) and the name of its owner."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = alternative.get_values_for_type(x509.RFC822Name)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        addresses = []
    try:
        subject = certificate.subject
        found = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
        names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except ValueError:
        found, names = [], []
    return addresses or found, names[0] if names else ""


def _uses_weak_hash(signature: bytes) -> bool:
    """Whether a SignedData (RFC 5652 §5.1) names a weak hash. OpenSSL uses no hash that stands not in that set."""
    at = 0
    # ContentInfo; its type; [0]; SignedData; its version; then the set of hashes.
    for enters in (True, False, True, True, False):
        at, end = _element(signature, at)
        if not enters:
            at = end
    begin, end = _element(signature, at)
    return any(one in signature[begin:end] for one in _WEAK)


def _element(octets: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a BER element begins and ends. An indefinite length ends with the octets."""
    length = octets[at + 1] if at + 1 < len(octets) else 0
    begin = at + 2
    if length == 0x80:
        return begin, len(octets)
    if length > 0x80:
        count = length & 0x7F
        length = int.from_bytes(octets[begin : begin + count])
        begin += count
    return begin, min(begin + length, len(octets))


def find_smime() -> SMime | None:
    """Return the openssl of this system; None if it is not installed."""
    program = shutil.which("openssl")
    return SMime(program) if program is not None else None
