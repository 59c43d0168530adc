"""PEM files as people and programs leave them: each form is read, and served with its intermediate certificates."""

from __future__ import annotations

import codecs
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls import pem
from emailsys.net.tls.files import read_pair
from emailsys.net.tls.server import ServerTLS
from tests.fakes.net.tls_pipe import shake_hands


class LenientTests(SynchronousTestCase):
    """A chain of two certificates, and a key."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        made = pki.ensure_development_ca(self.folder)
        self.leaf, self.issuer = made.certificates[0].chain.read_bytes(), made.authority.read_bytes()
        self.key = made.certificates[0].key.read_bytes()
        self.files = CertificateFiles(self.folder / "chain", self.folder / "key")

    def check(self, chain: bytes, key: bytes) -> None:
        """Both certificates reach the client."""
        self.files.chain.write_bytes(chain)
        self.files.key.write_bytes(key)
        connection = shake_hands(ServerTLS([self.files]), SSL.Context(SSL.TLS_METHOD))
        shown = connection.get_peer_cert_chain(as_cryptography=True)
        assert shown is not None
        self.assertEqual(b"".join(each.public_bytes(Encoding.PEM) for each in shown), self.leaf + self.issuer)

    def test_text_around_the_blocks_is_ignored(self) -> None:
        """OpenSSL serves the second form without its intermediate certificate, and refuses most of the others."""
        both = self.leaf + self.issuer
        for name, change in (
            ("no line end between the two", lambda text: text.replace(b"-----\n-----", b"----------")),
            ("a space before the second BEGIN", lambda text: text.replace(b"\n-----BEGIN", b"\n -----BEGIN")),
            ("indented", lambda text: b"".join(b"    " + line for line in text.splitlines(True))),
            ("line ends of Windows", lambda text: text.replace(b"\n", b"\r\n")),
            ("byte order mark", lambda text: codecs.BOM_UTF8 + text),
            ("UTF-16", lambda text: text.decode().encode("utf-16")),
            ("UTF-16, big-endian, no mark", lambda text: text.decode().encode("utf-16-be")),
            ("UTF-16, little-endian, no mark", lambda text: text.decode().encode("utf-16-le")),
            ("UTF-32", lambda text: text.decode().encode("utf-32")),
            ("text around", lambda text: b"Bag Attributes\n  localKeyID: 01\n" + text + b"the end"),
            ("one line, as in a variable", lambda text: text.replace(b"\n", b"\\n")),
            ("no final line end", lambda text: text.rstrip()),
            ("empty lines", lambda text: text.replace(b"\n", b"\n\n")),
        ):
            with self.subTest(name):
                self.check(change(both), change(self.key))

    def test_der_is_read(self) -> None:
        """Some authorities deliver it; it holds one certificate."""
        leaf = read_pair(CertificateFiles(*map(self.written, (self.leaf, self.key)))).leaf
        der = self.written(leaf.public_bytes(Encoding.DER))
        self.assertEqual(read_pair(CertificateFiles(der, self.written(self.key))).chain, self.leaf)

    def written(self, octets: bytes) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(octets)
        return path

    def test_the_header_of_an_encrypted_key_keeps_its_lines(self) -> None:
        """RFC 1421 §4.6: it says that the key has a passphrase."""
        header = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\n"
        block = b"-----BEGIN RSA PRIVATE KEY-----\n" + header + b"AAAA\n-----END RSA PRIVATE KEY-----\n"
        self.assertEqual(pem.blocks(b"  " + block.replace(b"\n", b"\n  "), b"PRIVATE KEY"), [block])

    def test_a_block_without_its_end_is_ignored(self) -> None:
        """A file that was cut off."""
        self.assertEqual(pem.blocks(self.leaf[:200], b"CERTIFICATE"), [])

    def test_a_block_without_its_end_does_not_hide_the_next(self) -> None:
        """A key that was cut off, and a whole certificate after it."""
        self.assertEqual(pem.blocks(self.key[:100] + b"\n" + self.leaf, b"CERTIFICATE"), [self.leaf])

    def test_a_begin_within_a_block_leaves_the_block_damaged(self) -> None:
        """The END of the first certificate is missing: the chain is refused, and not served without it."""
        [block] = pem.blocks(self.leaf[:200] + b"\n" + self.issuer, b"CERTIFICATE")
        self.assertIn(b"BEGINCERTIFICATE", block)

    def test_a_file_that_is_no_pem_takes_no_time(self) -> None:
        """A MiB of such text is read while the daemon starts, or checks its certificates."""
        for text in (
            b"-----BEGIN A-----" * 60_000,
            b"-----BEGIN A-----" * 30_000 + b"-----END B-----" * 30_000,
            b"-----BEGIN A" + b" " * 1_000_000,
            b"-----BEGIN " + b"A " * 500_000,
            b"-----" + b"\n" * 1_000_000,
        ):
            began = time.process_time()
            self.assertEqual(pem.blocks(text, b"CERTIFICATE"), [])
            self.assertLess(time.process_time() - began, 5)
