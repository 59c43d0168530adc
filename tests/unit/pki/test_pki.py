"""The development CA: what is made, what is kept, what is renewed, and what is refused with a clear error."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class PKITestCase(SynchronousTestCase):
    """A folder to make certificates in."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "tls"

    def make(self, *names: str, now: datetime = NOW, renew: bool = False) -> pki.DevelopmentPKI:
        return pki.ensure_development_ca(self.folder, names, now=now, renew=renew)

    def leaf(self, kind: str = "ecdsa") -> x509.Certificate:
        return pki.read_certificate(self.folder / f"server-{kind}.pem")


class DevelopmentCATests(PKITestCase):
    """What `emailsys try` and a daemon without certificates begin with."""

    def test_rsa_and_ecdsa_certificates_are_made_for_localhost_and_the_host_name(self) -> None:
        """Both are served in one context; the RSA one comes first."""
        made = self.make("mail.example.test", "192.0.2.1", "[2001:db8::1]", "bücher.example")
        self.assertEqual([files.kind for files in made.certificates], ["rsa", "ecdsa"])
        for files, key_type in zip(made.certificates, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey), strict=True):
            certificate = pki.read_certificate(files.chain)
            self.assertIsInstance(certificate.public_key(), key_type)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.assertEqual(
                names.get_values_for_type(x509.DNSName), ["localhost", "mail.example.test", "xn--bcher-kva.example"]
            )
            self.assertEqual(
                [str(ip) for ip in names.get_values_for_type(x509.IPAddress)],
                ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"],
            )

    def test_the_certificates_verify_against_the_authority(self) -> None:
        """Chain, purpose, names and times, by the rules of public authorities."""
        made = self.make()
        authority = pki.read_certificate(made.authority)
        verifier = (
            x509.verification.PolicyBuilder()
            .store(x509.verification.Store([authority]))
            .time(NOW)
            .build_server_verifier(x509.DNSName("localhost"))
        )
        for files in made.certificates:
            chain = verifier.verify(pki.read_certificate(files.chain), [])
            self.assertEqual(chain[-1], authority)

    def test_a_server_certificate_can_serve_and_do_nothing_else(self) -> None:
        """Key usage, extended key usage, identifiers and a distribution point, as examiners of TLS want them."""
        made = self.make()
        authority = pki.read_certificate(made.authority)
        extensions = self.leaf().extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        self.assertTrue(usage.critical)
        self.assertTrue(usage.value.digital_signature)
        self.assertFalse(usage.value.key_cert_sign or usage.value.key_encipherment)
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(purposes), [ExtendedKeyUsageOID.SERVER_AUTH])
        self.assertFalse(extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
        self.assertEqual(
            extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier,
            authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        )
        points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        self.assertEqual(len(list(points)), 1)

    def test_the_authority_signs_servers_and_no_other_authority(self) -> None:
        """Someone who imports it must not thereby trust a chain of authorities."""
        self.make()
        extensions = pki.read_certificate(self.folder / "ca.pem").extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertTrue(constraints.critical)
        self.assertEqual((constraints.value.ca, constraints.value.path_length), (True, 0))
        self.assertTrue(extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign)

    def test_keys_can_be_read_by_their_owner_alone(self) -> None:
        """Also the folder: what else it holds concerns nobody."""
        made = self.make()
        for path in (made.authority_key, *(files.key for files in made.certificates)):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)

    def test_no_draft_of_a_file_is_left(self) -> None:
        """Files are written under another name and put in place whole."""
        self.make()
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()),
            ["ca.key", "ca.pem", "server-ecdsa.key", "server-ecdsa.pem", "server-rsa.key", "server-rsa.pem"],
        )

    def test_a_second_start_changes_nothing(self) -> None:
        """Programs that were told to trust the authority go on to."""
        first = self.make()
        self.assertEqual(len(first.written), 6)
        self.assertEqual(self.make().written, ())

    def test_a_name_that_no_certificate_can_bear_is_refused(self) -> None:
        """The host name of a configuration may be anything."""
        self.assertRaisesRegex(pki.PKIError, "is not a host name, so no certificate", self.make, "ü" * 70 + ".example")

    def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(self) -> None:
        """Not a traceback."""
        self.folder.parent.mkdir(parents=True)
        self.folder.write_text("a file")
        self.assertRaisesRegex(pki.PKIError, "tls: the folder for certificates cannot be created", self.make)

    def test_a_file_that_cannot_be_written_is_an_error_that_names_it(self) -> None:
        """A folder lies where a file belongs; the draft is removed."""
        self.folder.joinpath("server-rsa.pem").mkdir(parents=True)
        self.assertRaisesRegex(pki.PKIError, r"server-rsa\.pem: cannot be written", self.make)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith(".")], [])


class RenewalTests(PKITestCase):
    """Certificates end; a daemon that runs for years has others by then."""

    def test_a_certificate_near_its_end_is_renewed_with_the_same_key(self) -> None:
        """The key stays, so that no crash between two writes leaves a pair that does not match."""
        self.make()
        before = self.leaf()
        later = before.not_valid_after_utc - timedelta(days=29)
        renewed = self.make(now=later)
        self.assertEqual([path.name for path in renewed.written], ["server-rsa.pem", "server-ecdsa.pem"])
        self.assertEqual(self.leaf().public_key(), before.public_key())
        self.assertEqual(self.leaf().not_valid_after_utc, later + timedelta(days=397))

    def test_a_certificate_far_from_its_end_is_kept(self) -> None:
        """A month before the end is soon enough."""
        self.make()
        later = self.leaf().not_valid_after_utc - timedelta(days=31)
        self.assertEqual(self.make(now=later).written, ())

    def test_another_host_name_makes_other_certificates(self) -> None:
        """The authority stays."""
        self.make("old.example.test")
        written = self.make("new.example.test").written
        self.assertEqual([path.name for path in written], ["server-rsa.pem", "server-ecdsa.pem"])

    def test_renewal_can_be_asked_for(self) -> None:
        """`emailsys certs renew`."""
        self.make()
        before = self.leaf().serial_number
        self.make(renew=True)
        self.assertNotEqual(self.leaf().serial_number, before)

    def test_the_authority_is_renewed_with_its_key_and_old_certificates_hold(self) -> None:
        """Same name, same key: what it signed before still verifies."""
        self.make()
        authority = pki.read_certificate(self.folder / "ca.pem")
        later = authority.not_valid_after_utc - timedelta(days=10)
        before = self.leaf()
        self.make(now=later)
        renewed = pki.read_certificate(self.folder / "ca.pem")
        self.assertGreater(renewed.not_valid_after_utc, authority.not_valid_after_utc)
        before.verify_directly_issued_by(renewed)

    def test_certificates_from_the_future_are_made_again(self) -> None:
        """The clock was ahead at the first start and has been set right."""
        self.make(now=NOW + timedelta(days=400))
        self.make()
        authority = pki.read_certificate(self.folder / "ca.pem")
        self.assertLessEqual(authority.not_valid_before_utc, NOW)
        self.assertLessEqual(self.leaf().not_valid_before_utc, NOW)
        self.leaf().verify_directly_issued_by(authority)

    def test_no_certificate_outlives_its_authority(self) -> None:
        """It would be refused in the time between."""
        self.make()
        end = pki.read_certificate(self.folder / "ca.pem").not_valid_after_utc
        self.make(now=end - timedelta(days=100))
        self.assertEqual(self.leaf().not_valid_after_utc, end)

    def test_a_damaged_server_certificate_is_made_again(self) -> None:
        """It costs nothing, and the mail goes on."""
        self.make()
        (self.folder / "server-rsa.pem").write_text("not a certificate")
        self.assertEqual([path.name for path in self.make().written], ["server-rsa.pem"])

    def test_a_certificate_of_another_authority_is_made_again(self) -> None:
        """As when ca.pem and ca.key were removed by hand."""
        self.make()
        (self.folder / "ca.pem").unlink()
        (self.folder / "ca.key").unlink()
        self.assertEqual(
            [path.name for path in self.make().written], ["ca.key", "ca.pem", "server-rsa.pem", "server-ecdsa.pem"]
        )

    def test_a_first_start_that_was_cut_off_is_completed(self) -> None:
        """The key was written, its certificate was not."""
        self.make()
        (self.folder / "ca.pem").unlink()
        self.assertEqual([path.name for path in self.make().written], ["ca.pem"])


class DamagedAuthorityTests(PKITestCase):
    """People may have told their programs to trust an authority: it is never replaced in silence."""

    def test_a_missing_key_is_an_error_that_says_what_to_do(self) -> None:
        """ca.pem without ca.key."""
        self.make()
        (self.folder / "ca.key").unlink()
        self.assertRaisesRegex(pki.PKIError, r"ca\.key: the key of ca\.pem is missing. Remove", self.make)

    def test_a_key_of_another_authority_is_an_error(self) -> None:
        """ca.key replaced."""
        self.make()
        (self.folder / "ca.key").write_bytes((self.folder / "server-ecdsa.key").read_bytes())
        self.assertRaisesRegex(pki.PKIError, r"ca\.key: does not belong to ca\.pem", self.make)

    def test_a_damaged_certificate_is_an_error(self) -> None:
        """ca.pem with half its octets."""
        self.make()
        path = self.folder / "ca.pem"
        path.write_bytes(path.read_bytes()[:200])
        self.assertRaisesRegex(pki.PKIError, r"ca\.pem: contains no certificate, or a damaged one", self.make)

    def test_a_damaged_key_is_an_error(self) -> None:
        """Any key file of the folder."""
        self.make()
        (self.folder / "server-rsa.key").write_text("-----BEGIN PRIVATE KEY-----\n")
        self.assertRaisesRegex(pki.PKIError, r"server-rsa\.key: contains no private key, or a damaged one", self.make)

    def test_a_folder_in_place_of_a_file_is_an_error(self) -> None:
        """It stands for all that the system refuses to read."""
        self.make()
        for name, complaint in (("ca.key", "the key cannot be read"), ("ca.pem", "the certificate cannot be read")):
            path = self.folder / name
            octets = path.read_bytes()
            path.unlink()
            path.mkdir()
            self.assertRaisesRegex(pki.PKIError, f"{complaint}: Is a directory", self.make)
            path.rmdir()
            if sys.platform != "win32":
                # `config check`, run by root, waited for whoever writes to it.
                os.mkfifo(path)
                self.assertRaisesRegex(pki.PKIError, f"{complaint}: is not a regular file", self.make)
                path.unlink()
            path.write_bytes(octets)

    def test_a_key_of_a_kind_we_never_make_is_an_error(self) -> None:
        """Ed25519: few mail programs can use it."""
        self.make()
        key = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "server-rsa.key").write_bytes(key)
        self.assertRaisesRegex(pki.PKIError, "neither an RSA nor an ECDSA key", self.make)


class RecipeTests(PKITestCase):
    """certs/recipe.toml, from which all of this is made."""

    def edited(self, old: str, new: str) -> Path:
        text = pki.recipe_path().read_text("utf-8")
        self.assertIn(old, text)
        path = Path(self.mktemp())
        path.write_text(text.replace(old, new), "utf-8")
        return path

    def test_the_checkout_has_the_recipe_in_certs(self) -> None:
        """Found from any working directory."""
        path = pki.recipe_path()
        self.assertTrue(path.is_absolute())
        self.assertEqual(path.parts[-2:], ("certs", "recipe.toml"))
        self.assertTrue(path.is_file())

    def test_the_recipe_names_what_mail_needs(self) -> None:
        """RSA first, then ECDSA, and the four faults that tests must see refused."""
        recipe = pki.read_recipe()
        self.assertEqual(recipe.server.keys, ("RSA-2048", "P-256"))
        self.assertEqual(set(recipe.variants), {"expired", "not-yet-valid", "wrong-name", "untrusted"})

    def test_an_edited_recipe_is_followed(self) -> None:
        """It is no decoration."""
        recipe = pki.read_recipe(self.edited("days = 397", "days = 90"))
        pki.ensure_development_ca(self.folder, recipe=recipe, now=NOW)
        self.assertEqual(self.leaf().not_valid_after_utc, NOW + timedelta(days=90))

    def test_a_recipe_with_a_mistake_names_file_and_entry(self) -> None:
        """Each kind of mistake."""
        for old, new, complaint in (
            ("days = 397", 'days = "long"', "days must be of type int, not 'long'"),
            ("days = 397", "days = true", "days must be of type int, not True"),
            ('"RSA-2048", ', '"RSA-512", ', "key 'RSA-512' is none of RSA-2048, P-256"),
            ('key = "P-256"', 'key = "P-1"', "key 'P-1' is none of"),
            ("crl = ", "revoked = ", "unknown entry 'revoked'"),
            ("[authority]", "[authority", "cannot be read"),
        ):
            with self.subTest(complaint):
                path = self.edited(old, new)
                error = self.assertRaises(pki.PKIError, pki.read_recipe, path)
                self.assertIn(str(path), str(error))
                self.assertIn(complaint, str(error))
        self.assertRaisesRegex(pki.PKIError, "cannot be read", pki.read_recipe, Path(self.mktemp()))


class VariantTests(PKITestCase):
    """Certificates that a client must refuse."""

    def certificate(self, variant: str) -> x509.Certificate:
        return pki.read_certificate(pki.make_variant(self.folder, variant, now=NOW)[0].chain)

    def test_expired_and_not_yet_valid_ones_are_outside_their_time(self) -> None:
        """Signed by the development CA all the same."""
        self.assertLess(self.certificate("expired").not_valid_after_utc, NOW)
        self.assertGreater(self.certificate("not-yet-valid").not_valid_before_utc, NOW)

    def test_the_wrong_name_is_the_only_name(self) -> None:
        """Neither localhost nor its addresses."""
        names = self.certificate("wrong-name").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(list(names), [x509.DNSName("wrong.example.test")])

    def test_the_untrusted_one_has_an_authority_of_its_own(self) -> None:
        """The development CA did not sign it."""
        self.make()
        untrusted = self.certificate("untrusted")
        authority = pki.read_certificate(self.folder / "ca.pem")
        self.assertRaises(ValueError, untrusted.verify_directly_issued_by, authority)
        untrusted.verify_directly_issued_by(pki.read_certificate(self.folder / "untrusted-ca.pem"))

    def test_an_unknown_variant_is_refused_with_the_known_ones(self) -> None:
        """A test with a slip of the pen says so."""
        self.assertRaisesRegex(pki.PKIError, "no variant 'exired'; it has expired", self.certificate, "exired")


class FactsTests(PKITestCase):
    """What `emailsys certs show` tells."""

    def test_facts_of_server_certificate_and_authority(self) -> None:
        """Subject, issuer, names, key, times, fingerprint."""
        made = self.make("mail.example.test")
        facts = pki.certificate_facts(made.certificates[0].chain)
        self.assertEqual(facts.subject, "CN=localhost")
        self.assertEqual(facts.issuer, "CN=emailsys development CA")
        self.assertEqual(facts.names, ("localhost", "127.0.0.1", "::1", "mail.example.test"))
        self.assertEqual(facts.key, "RSA-2048")
        self.assertEqual(facts.not_after, NOW + timedelta(days=397))
        self.assertEqual(len(facts.sha256.split(":")), 32)
        authority = pki.certificate_facts(made.authority)
        self.assertEqual((authority.names, authority.key), ((), "P-256"))

    def test_a_certificate_that_is_not_there_is_an_error_that_says_what_to_do(self) -> None:
        """Before the first start."""
        self.assertRaisesRegex(
            pki.PKIError, "Run `emailsys certs init`", pki.certificate_facts, self.folder / "server-rsa.pem"
        )

    def test_facts_are_values(self) -> None:
        """They go into JSON."""
        self.make()
        facts = dataclasses.asdict(pki.certificate_facts(self.folder / "ca.pem"))
        self.assertEqual(facts["subject"], "CN=emailsys development CA")
