"""Each fault of a certificate file is reported with the file and what to do."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls.files import read_pair
from emailsys.net.tls.server import ServerTLS, TLSConfigError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CertificateFileTests(SynchronousTestCase):
    """What `emailsys config check` and a daemon that starts say."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.made = pki.ensure_development_ca(self.folder, now=NOW)
        rsa_files, ecdsa_files = self.made.certificates
        self.chain, self.key, self.other_key = rsa_files.chain, rsa_files.key, ecdsa_files.key

    def refused(self, chain: Path | None = None, key: Path | None = None, now: datetime = NOW) -> str:
        files = CertificateFiles(chain or self.chain, key or self.key)
        error = self.assertRaises(TLSConfigError, ServerTLS, [files], lambda: now)
        return str(error)

    def test_missing_files_are_named(self) -> None:
        """Certificate and key."""
        gone = self.folder / "gone.pem"
        self.assertEqual(
            self.refused(chain=gone),
            f"{gone}: there is no such certificate file: correct the path, or put the file there",
        )
        self.assertIn(f"{gone}: there is no such key file", self.refused(key=gone))

    def test_unreadable_files_are_named(self) -> None:
        """A folder in place of a file stands for all that the system refuses, root reads everything else."""
        self.assertIn("the certificate cannot be read (Is a directory)", self.refused(chain=self.folder))
        self.assertIn("the key cannot be read (Is a directory)", self.refused(key=self.folder))

    def test_a_key_that_others_own_is_named(self) -> None:
        """A daemon that gave up its privileges cannot read it."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        if os.geteuid() == 0:
            # Root reads what the mode forbids: ask for a file below a file, which nobody can.
            self.assertIn("the key cannot be read (Not a directory)", self.refused(key=self.key / "x"))
        else:
            self.key.chmod(0)
            self.assertIn("the key cannot be read (Permission denied)", self.refused())

    def test_damaged_files_are_named(self) -> None:
        """Cut off, empty, not PEM."""
        bad = self.folder / "bad.pem"
        for octets in (b"", b"not PEM", self.chain.read_bytes()[:300]):
            with self.subTest(octets[:10]):
                bad.write_bytes(octets)
                self.assertIn(f"{bad}: holds no certificate in PEM form", self.refused(chain=bad))
        for octets in (b"", b"not PEM", self.key.read_bytes()[:300]):
            with self.subTest(octets[:10]):
                bad.write_bytes(octets)
                self.assertIn(f"{bad}: holds no private key in PEM form", self.refused(key=bad))

    def test_exchanged_files_are_recognised(self) -> None:
        """The commonest slip."""
        self.assertIn("holds a key, not a certificate: are chain and key exchanged?", self.refused(chain=self.key))
        self.assertIn("holds a certificate, not a key: are chain and key exchanged?", self.refused(key=self.chain))

    def test_a_key_of_another_certificate_is_named(self) -> None:
        """Both files are named."""
        self.assertEqual(
            self.refused(key=self.other_key),
            f"{self.other_key}: this key does not belong to the certificate in {self.chain}",
        )

    def test_a_chain_in_the_wrong_order_is_recognised(self) -> None:
        """The issuer first: its key is not ours."""
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.made.authority.read_bytes() + self.chain.read_bytes())
        self.assertIn("the server's certificate must come first", self.refused(chain=chain))

    def test_a_chain_in_the_right_order_is_served(self) -> None:
        """And the key may stand in the same file."""
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.key.read_bytes() + self.chain.read_bytes() + self.made.authority.read_bytes())
        server = ServerTLS([CertificateFiles(chain, chain)], lambda: NOW)
        self.assertEqual(server.names, ("localhost",))

    def test_an_expired_certificate_is_refused_with_its_date(self) -> None:
        """Served, it would make every mail program complain."""
        expired = pki.make_variant(self.folder, "expired", now=NOW)[0]
        self.assertEqual(
            self.refused(expired.chain, expired.key),
            f"{expired.chain}: the certificate expired on 2026-01-30 12:00 UTC: renew it",
        )
        self.assertIn("expired on", self.refused(now=NOW + timedelta(days=400)))

    def test_a_certificate_of_the_future_points_to_the_clock(self) -> None:
        """It is nearly always the clock."""
        early = pki.make_variant(self.folder, "not-yet-valid", now=NOW)[0]
        self.assertIn("is not valid before 2026-03-11 11:00 UTC: check the clock", self.refused(early.chain, early.key))

    def test_a_key_with_a_passphrase_is_refused_with_the_way_out(self) -> None:
        """OpenSSL would ask for it on the terminal, and a daemon has none."""
        key = load_pem_private_key(self.key.read_bytes(), None)
        locked = self.folder / "locked.key"
        locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
        self.assertIn("protected by a passphrase, which a daemon cannot type", self.refused(key=locked))

    def test_weak_and_strange_keys_are_refused(self) -> None:
        """RSA with 1024 bits; DSA."""
        path = self.folder / "strange.key"
        for key, complaint in (
            (rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits is too weak"),
            (dsa.generate_private_key(1024), "neither an RSA nor an ECDSA nor an Ed25519 key"),
        ):
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            self.assertIn(complaint, self.refused(key=path))

    def test_no_certificate_at_all_is_an_error(self) -> None:
        """The composition root names the development CA's before it comes to that."""
        self.assertRaisesRegex(TLSConfigError, "no certificate is configured", ServerTLS, [])

    def test_a_certificate_without_names_is_served_to_all(self) -> None:
        """Old certificates have a common name alone; the key may be Ed25519."""
        key = ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.test")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1))
        path = self.folder / "old.pem"
        path.write_bytes(
            builder.sign(key, None).public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        pair = read_pair(CertificateFiles(path, path), NOW)
        self.assertEqual((pair.kind, pair.names), ("Ed25519", ()))
        self.assertEqual(ServerTLS([pair.files], lambda: NOW).names, ())

    def test_what_openssl_refuses_becomes_an_error_with_its_words(self) -> None:
        """An issuer with a key of 1024 bits, further up the chain."""
        key = rsa.generate_private_key(65537, 1024)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an old authority")])
        issuer = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1))
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.chain.read_bytes() + issuer.sign(key, SHA256()).public_bytes(Encoding.PEM))
        self.assertIn(f"{chain}: OpenSSL refuses certificate or key: ca key too small", self.refused(chain=chain))
