"""Each fault of a certificate file is reported with the file and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls.files import read_pair
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from tests.fakes.net.tls_pipe import served, shake_hands

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

    def test_a_pipe_is_refused_and_not_waited_for(self) -> None:
        """Nothing writes into it: opening it would never end. A device may never end either."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        pipe = self.folder / "pipe.pem"
        os.mkfifo(pipe)
        for path in (pipe, Path("/dev/zero")):
            said = f"{path}: is a pipe or a device and no"
            self.assertIn(f"{said} certificate file", self.refused(chain=path))
            self.assertIn(f"{said} key file", self.refused(key=path))

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

    def test_a_certificate_of_a_version_that_does_not_exist_is_damaged(self) -> None:
        """The library raises no ValueError for it: a search with changed octets found that."""
        der = bytearray(x509.load_pem_x509_certificate(self.chain.read_bytes()).public_bytes(Encoding.DER))
        at = der.index(b"\xa0\x03\x02\x01\x02") + 4
        der[at] = 39
        bad = self.folder / "bad.pem"
        bad.write_bytes(b"-----BEGIN CERTIFICATE-----" + b64encode(der) + b"-----END CERTIFICATE-----")
        self.assertIn(f"{bad}: holds no certificate in PEM form", self.refused(chain=bad))
        self.assertRaises(pki.PKIError, pki.certificate_facts, bad)

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

    def test_a_chain_in_any_order_is_served_with_the_certificate_of_the_key_first(self) -> None:
        """RFC 5246 §7.4.2 requires the server's own certificate first, and each issuer once."""
        chain = self.folder / "chain.pem"
        issuer, leaf = self.made.authority.read_bytes(), self.chain.read_bytes()
        chain.write_bytes(issuer + leaf + issuer + leaf)
        self.assertEqual(read_pair(CertificateFiles(chain, self.key)).chain, leaf + issuer)

    def test_a_chain_in_the_right_order_is_served(self) -> None:
        """And the key may stand in the same file."""
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.key.read_bytes() + self.chain.read_bytes() + self.made.authority.read_bytes())
        server = ServerTLS([CertificateFiles(chain, chain)], lambda: NOW)
        self.assertEqual(server.names, ("localhost",))

    def test_an_expired_certificate_is_served_and_its_date_is_told(self) -> None:
        """Clients that verify complain; mail from other hosts arrives."""
        expired = pki.make_variant(self.folder, "expired", now=NOW)[0]
        server = ServerTLS(served(expired), lambda: NOW)
        self.assertEqual(
            server.invalid(), [f"{expired.chain}: the certificate expired on 2026-01-30 12:00 UTC: renew it"]
        )

    def test_a_certificate_of_the_future_is_served_and_points_to_the_clock(self) -> None:
        """A machine without a battery begins in 1970, and receives mail."""
        early = pki.make_variant(self.folder, "not-yet-valid", now=NOW)[0]
        (why,) = ServerTLS(served(early), lambda: NOW).invalid()
        self.assertIn("is not valid before 2026-03-11 11:00 UTC: check the clock", why)

    def test_a_certificate_near_its_end_is_warned_of_for_14_days(self) -> None:
        """After that time it is invalid, which is told in other words."""
        pair = read_pair(CertificateFiles(self.chain, self.key))
        end = pair.leaf.not_valid_after_utc
        self.assertEqual(pair.concerns(end - timedelta(days=14)), [])
        (near,) = pair.concerns(end - timedelta(days=14) + timedelta(seconds=1))
        self.assertEqual(
            near, f"{self.chain}: the certificate expires on {end:%Y-%m-%d %H:%M} UTC, in 13 days: renew it"
        )
        self.assertIn("in less than a day", pair.concerns(end)[0])
        self.assertEqual(pair.concerns(end + timedelta(seconds=1)), [])

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
        pair = read_pair(CertificateFiles(path, path))
        self.assertEqual((pair.kind, pair.names), ("Ed25519", ()))
        self.assertIn("Ed25519, which many clients refuse", "".join(pair.concerns(NOW)))
        self.assertEqual(ServerTLS([pair.files], lambda: NOW).names, ())

    def test_a_refusal_of_openssl_becomes_an_error_with_its_words(self) -> None:
        """An issuer with a key of 1024 bits, further up the chain."""
        key = rsa.generate_private_key(65537, 1024)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an old authority")])
        issuer = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1))
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.chain.read_bytes() + issuer.sign(key, SHA256()).public_bytes(Encoding.PEM))
        self.assertIn(f"{chain}: OpenSSL refuses certificate or key: ca key too small", self.refused(chain=chain))


class UncommonKeyTests(SynchronousTestCase):
    """Keys that OpenSSL makes and that clients refuse."""

    def made(self, *arguments: str) -> CertificateFiles:
        """A self-signed certificate for a key that `openssl genpkey` makes with these arguments."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        files = CertificateFiles(folder / "chain.pem", folder / "key.pem")
        key = ("openssl", "genpkey", "-out", str(files.key), *arguments)
        request = ("openssl", "req", "-x509", "-key", str(files.key), "-out", str(files.chain), "-subj", "/CN=x")
        for command in (key, request):
            if shutil.which("openssl") is None or subprocess.run(command, capture_output=True, check=False).returncode:
                raise SkipTest(f"needs an openssl that can make {' '.join(arguments)}")
        return files

    def test_an_rsa_pss_key_is_served_with_a_warning(self) -> None:
        """Some authorities make such keys. The handshake succeeds; Schannel and BoringSSL refuse it."""
        server = ServerTLS([self.made("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")])
        self.assertIn("its key is for RSA-PSS only", server.concerns()[0])
        self.assertEqual(shake_hands(server, SSL.Context(SSL.TLS_METHOD)).get_protocol_version_name(), "TLSv1.3")

    def test_a_curve_that_no_client_takes_is_warned_of(self) -> None:
        """The curve of Bitcoin, and those of the German authorities."""
        for curve in ("secp256k1", "brainpoolP256r1"):
            with self.subTest(curve):
                server = ServerTLS([self.made("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")])
                self.assertIn(f"its curve, {curve}, is refused by most clients: use P-256", server.concerns()[0])

    def test_a_curve_that_the_library_does_not_know_is_an_error_with_a_remedy(self) -> None:
        """The daemon ended with status 70."""
        files = self.made("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime239v1")
        error = str(self.assertRaises(TLSConfigError, ServerTLS, [files]))
        self.assertIn(f"{files.key}: no client takes this kind of key", error)
        self.assertIn("make a new key (openssl genpkey", error)

    def test_a_common_key_is_preferred_for_the_same_name(self) -> None:
        """Both are ECDSA, and one context has one certificate of each kind."""
        odd = self.made(
            "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-pkeyopt", "ec_param_enc:named_curve"
        )
        good = self.made("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
        for files in (odd, good):
            key = load_pem_private_key(files.key.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1))
            named = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.test")]), False)
            files.chain.write_bytes(named.sign(key, SHA256()).public_bytes(Encoding.PEM))
        server = ServerTLS([odd, good], lambda: NOW)
        self.assertEqual(shake_hands(server, SSL.Context(SSL.TLS_METHOD)).get_protocol_version_name(), "TLSv1.3")
