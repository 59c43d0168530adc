"""Certificate chains with each fault, and what the steps of the validation say of it."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.tls.anchors import Anchors
from emailsys.wiretap.tls.chain import Validation, validate
from emailsys.wiretap.verdict import Verdict
from tests.fakes.net.tls_pair import NOW, Issued, issue

NAME = "mx.example.test"
DAY = timedelta(days=1)
_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
_NETWORK = x509.IPAddress(IPv4Network("192.0.2.0/24"))
# Name constraints: permitted and excluded.
_LIMITS = [
    x509.NameConstraints([x509.DNSName("example.test")], None),
    x509.NameConstraints([x509.DNSName(NAME)], None),
    x509.NameConstraints([x509.DNSName("ample.test")], None),
    x509.NameConstraints([_NETWORK], None),
    x509.NameConstraints(None, [x509.DNSName("elsewhere.test")]),
    x509.NameConstraints(None, [x509.DNSName("example.test")]),
    x509.NameConstraints([x509.DNSName("test"), _NETWORK], [x509.DNSName(NAME)]),
]


class ChainTests(SynchronousTestCase):
    """A root, an authority below it, and a server's certificate."""

    def setUp(self) -> None:
        self.root = issue("root", authority=True)
        self.authority = issue("authority", self.root, authority=True)
        self.leaf = issue(NAME, self.authority, names=(NAME,))
        self.anchors = Anchors([self.root.certificate], "test")

    def judge(self, *chain: Issued, name: str = NAME, anchors: Anchors | None = None) -> Validation:
        """Validate at a fixed time."""
        return validate([issued.der for issued in chain], name, NOW, self.anchors if anchors is None else anchors)

    def bad(self, *chain: Issued, name: str = NAME) -> list[tuple[str, str]]:
        """The steps that are not good or notes: check and subject."""
        return [
            (step.check, step.about)
            for step in self.judge(*chain, name=name).steps
            if step.verdict in (Verdict.BAD, Verdict.WEAK)
        ]

    def test_good(self) -> None:
        """Each certificate has its steps, from the server's to the anchor."""
        validation = self.judge(self.leaf, self.authority)
        self.assertTrue(validation.is_valid)
        self.assertEqual(validation.path, (NAME, "authority", "root"))
        self.assertEqual({step.verdict for step in validation.steps}, {Verdict.GOOD})
        self.assertEqual(
            [step.check for step in validation.steps if step.about == NAME],
            ["names", "purpose", "dates", "key size", "hash", "issuer", "signature"],
        )

    def test_root_sent_too_and_order(self) -> None:
        """The order of what was sent does not matter; what is of no use is noted."""
        self.assertTrue(self.judge(self.leaf, self.root, self.authority).is_valid)
        other = issue("other", authority=True)
        last = self.judge(self.leaf, self.authority, other).steps[-1]
        self.assertEqual((last.check, last.verdict), ("chain", Verdict.NOTE))

    def test_wrong_name(self) -> None:
        """RFC 6125: only the alternative names count."""
        self.assertEqual(self.bad(self.leaf, self.authority, name="mail.example.test"), [("names", NAME)])
        nameless = issue(NAME, self.authority)
        self.assertEqual(self.bad(nameless, self.authority), [("names", NAME)])
        self.assertEqual(self.bad(self.leaf, self.authority, name="192.0.2.1"), [("names", NAME)])

    def test_wildcard(self) -> None:
        """A wildcard stands for one label."""
        wild = issue("wild", self.authority, names=("*.example.test",))
        self.assertEqual(self.bad(wild, self.authority), [])
        self.assertEqual(self.bad(wild, self.authority, name="a.mx.example.test"), [("names", "wild")])

    def test_dates(self) -> None:
        """Expired, not yet valid, and soon to expire."""
        old = issue("old", self.authority, names=(NAME,), end=NOW - DAY)
        early = issue("early", self.authority, names=(NAME,), start=NOW + DAY)
        soon = issue("soon", self.authority, names=(NAME,), end=NOW + 3 * DAY)
        for leaf, valid in ((old, False), (early, False), (soon, True)):
            self.assertEqual([check for check, _ in self.bad(leaf, self.authority)], ["dates"])
            self.assertEqual(self.judge(leaf, self.authority).is_valid, valid)

    def test_missing_intermediate(self) -> None:
        """The usual fault of a server: it sends only its own certificate."""
        self.assertEqual(self.bad(self.leaf), [("issuer", NAME), ("trust anchor", NAME)])

    def test_self_signed(self) -> None:
        """A certificate by itself is not trusted, unless it is an anchor."""
        alone = issue(NAME, names=(NAME,))
        self.assertEqual(self.bad(alone), [("trust anchor", NAME)])
        self.assertTrue(self.judge(alone, anchors=Anchors([alone.certificate])).is_valid)

    def test_forged_signature(self) -> None:
        """An issuer of the right name with another key."""
        forger = issue("authority", self.root, authority=True)
        leaf = issue(NAME, forger, names=(NAME,))
        self.assertEqual(self.bad(leaf, self.authority), [("signature", NAME)])

    def test_no_authority(self) -> None:
        """A server's certificate may not sign another one, and path lengths are kept."""
        server = issue("server", self.authority, names=("server.test",))
        leaf = issue(NAME, server, names=(NAME,))
        self.assertEqual(self.bad(leaf, server, self.authority), [("purpose", "server")])
        short = issue("short", self.root, authority=True, path_length=0)
        below = issue("below", short, authority=True)
        self.assertEqual(self.bad(issue(NAME, below, names=(NAME,)), below, short), [("purpose", "short")])

    def test_purpose(self) -> None:
        """A certificate for clients, and one without restriction."""
        client = issue(NAME, self.authority, names=(NAME,), purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
        self.assertEqual(self.bad(client, self.authority), [("purpose", NAME)])
        self.assertEqual(self.bad(issue(NAME, self.authority, names=(NAME,), purpose=None), self.authority), [])

    def test_small_key_and_broken_hash(self) -> None:
        """RSA with 1024 bits is weak, SHA-1 is broken."""
        small = issue(NAME, self.authority, names=(NAME,), key=rsa.generate_private_key(65537, 1024))
        self.assertEqual(self.bad(small, self.authority), [("key size", NAME)])
        authority = issue("authority", self.root, authority=True, key=rsa.generate_private_key(65537, 2048))
        # The library no longer signs with SHA-1: the algorithm's number is changed from sha256 to sha1.
        number = bytes.fromhex("2a864886f70d0101")
        der = issue(NAME, authority, names=(NAME,)).der.replace(number + b"\x0b", number + b"\x05")
        steps = validate([der, authority.der], NAME, NOW, self.anchors).steps
        bad = [(step.check, step.about) for step in steps if step.verdict is Verdict.BAD]
        self.assertEqual(bad, [("hash", NAME)])

    def test_as_openssl_judges(self) -> None:
        """Dates, signatures, authorities and trust: OpenSSL accepts and refuses the same chains."""
        forger = issue("authority", self.root, authority=True)
        server = issue("server", self.authority, names=("server.test",))
        short = issue("short", self.root, authority=True, path_length=0)
        below = issue("below", short, authority=True)
        old = issue("authority", self.root, authority=True, end=NOW - DAY, key=self.authority.key)
        chains: list[tuple[Issued, ...]] = [
            (self.leaf, self.authority),
            (self.leaf, self.root, self.authority),
            (self.leaf,),
            (self.root,),
            (self.leaf, forger),
            (self.leaf, old),
            (issue(NAME, server, names=(NAME,)), server, self.authority),
            (issue(NAME, below, names=(NAME,)), below, short),
            (issue(NAME, short, names=(NAME,)), short),
            (issue(NAME, names=(NAME,)),),
            (issue(NAME, self.authority, names=(NAME,), end=NOW - DAY), self.authority),
            (issue(NAME, self.authority, names=(NAME,), start=NOW + DAY), self.authority),
            (issue(NAME, self.authority, names=(NAME,), critical=_UNKNOWN), self.authority),
        ]
        for limits in _LIMITS:
            limited = issue("limited", self.root, authority=True, critical=limits)
            chains.append((issue(NAME, limited, names=(NAME,)), limited))
        store = crypto.X509Store()
        store.add_cert(crypto.X509.from_cryptography(self.root.certificate))
        store.set_time(NOW.replace(tzinfo=None))
        for number, chain in enumerate(chains):
            first, *others = (crypto.X509.from_cryptography(issued.certificate) for issued in chain)
            try:
                crypto.X509StoreContext(store, first, others).verify_certificate()
                is_valid = True
            except crypto.X509StoreContextError:
                is_valid = False
            # Names are no matter of the store.
            bad = [step for step in self.judge(*chain).steps if step.verdict is Verdict.BAD and step.check != "names"]
            self.assertEqual(not bad, is_valid, f"chain {number}: {bad}")

    def test_nothing_and_garbage(self) -> None:
        """No certificate, and octets that are none."""
        for chain in ([], [b""], [b"\x30\x82\xff\xff"], [b"x" * 200_000]):
            self.assertFalse(validate(chain, NAME, NOW, self.anchors).is_valid)

    def test_control_characters_in_names(self) -> None:
        """What a terminal would obey is escaped."""
        hostile = issue("\x1b[2Jevil\u202e", self.authority, names=(NAME,))
        shown = "".join(step.text + step.about for step in self.judge(hostile, self.authority).steps)
        self.assertTrue(shown.isprintable())
        self.assertIn(r"\x1b[2Jevil\u202e", shown)
