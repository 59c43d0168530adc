"""S/MIME signatures are checked against the CAs of the system, and say whose certificate it is."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.smime import find_smime
from emailsys.client.crypto.values import SignatureState
from emailsys.client.display.message import MessageView, view

TEXT = b"Content-Type: text/plain\r\n\r\nThe price is 100.\r\n"
HEAD = b"From: Bob <bob@b.test>\r\nMIME-Version: 1.0\r\n"


class Person:
    """A key with a certificate of the CA, or of itself."""

    def __init__(self, name: str, ca: Person | None = None, days: int = 30, for_mail: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        usage = ExtendedKeyUsageOID.EMAIL_PROTECTION if for_mail else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=ca.certificate.subject if ca else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        )
        if ca is not None:
            address = f"{name.lower()}@{name[0].lower()}.test"
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        self.certificate: x509.Certificate = builder.sign(ca.key if ca else self.key, hashes.SHA256())

    def sign(self, data: bytes, *options: pkcs7.PKCS7Options) -> bytes:
        """Return a signature."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(self.certificate, self.key, hashes.SHA256())
        return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])


def base64(octets: bytes, head: bytes) -> bytes:
    """Return a part in base64."""
    from emailsys.client.compose.encoding import encode_file

    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + encode_file(octets, "application/octet-stream")[1]


def signed(signature: bytes, part: bytes = TEXT) -> bytes:
    """Return a multipart/signed message."""
    kind = b"application/pkcs7-signature"
    last = base64(signature, b"Content-Type: " + kind + b"; name=smime.p7s\r\n")
    return (
        HEAD + b"Content-Type: multipart/signed; micalg=sha-256; boundary=s; protocol=" + kind
        + b"\r\n\r\n--s\r\n" + part + b"\r\n--s\r\n" + last + b"\r\n--s--\r\n"
    )  # fmt: skip


class SMimeTests(SynchronousTestCase):
    if shutil.which("openssl") is None:
        skip = "openssl is not installed"

    def setUp(self) -> None:
        self.ca = Person("CA")
        file = Path(self.mktemp())
        file.write_bytes(self.ca.certificate.public_bytes(Encoding.PEM))
        # The CAs that openssl trusts.
        self.patch(os, "environ", os.environ.copy())
        os.environ["SSL_CERT_FILE"] = str(file.absolute())
        self.bob = Person("Bob", self.ca)
        self.opener = Opener(None, lambda: datetime.now(UTC), smime=find_smime())

    def see(self, octets: bytes, *states: SignatureState) -> MessageView:
        seen = view(octets, opener=self.opener)
        found = [one.state for layer in seen.protection for one in layer.signatures]
        self.assertEqual(found, list(states), seen.warnings)
        return seen

    def test_the_verdict_on_a_signature(self) -> None:
        detached = pkcs7.PKCS7Options.DetachedSignature
        octets = signed(self.bob.sign(TEXT, detached))
        seen = self.see(octets, SignatureState.GOOD)
        self.assertEqual(seen.notes, ("This message is signed by Bob <bob@b.test>. The signature is right.",))
        self.see(octets.replace(b"\r\n", b"\n"), SignatureState.GOOD)
        self.see(octets.replace(b"100", b"900"), SignatureState.BAD)
        self.see(octets.replace(b"bob@b.test>\r\nMIME", b"eve@e.test>\r\nMIME"), SignatureState.OTHER_SIGNER)
        for wrong in (
            Person("Bob", Person("Other CA")),
            Person("Bob", self.ca, days=-1),
            Person("Bob", self.ca, for_mail=False),
        ):
            seen = self.see(signed(wrong.sign(TEXT, detached)), SignatureState.UNTRUSTED)
            self.assertIn("not from a CA that your system trusts", seen.warnings[0])
        self.see(signed(b"nothing"), SignatureState.BAD)
        self.see(signed(b""), SignatureState.BAD)
        # A signature with a text of its own in it.
        self.see(signed(self.bob.sign(TEXT.replace(b"100", b"900"))), SignatureState.BAD)

    def test_the_text_may_be_inside_the_signature(self) -> None:
        head = HEAD + b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
        seen = self.see(base64(self.bob.sign(TEXT), head), SignatureState.GOOD)
        self.assertEqual((seen.body, seen.warnings, seen.attachments), ("The price is 100.", (), ()))
        changed = self.bob.sign(TEXT).replace(b"100", b"900")
        self.assertNotIn("900", self.see(base64(changed, head), SignatureState.BAD).body)

    def test_a_hash_that_can_be_forged(self) -> None:
        signature = self.bob.sign(TEXT, pkcs7.PKCS7Options.DetachedSignature)
        # As if SHA-1 stood in the set of hashes: DER of SHA-256 is 060960864801650304020 1.
        from emailsys.client.crypto.smime import _uses_weak_hash

        self.assertFalse(_uses_weak_hash(signature))
        self.assertTrue(_uses_weak_hash(bytes.fromhex("30800601 2aa080308002010131 0b3009 06052b0e03021a 0500")))
        for length in range(len(signature)):
            _uses_weak_hash(signature[:length])
