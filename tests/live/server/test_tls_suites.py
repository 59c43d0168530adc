"""TLS as openssl s_client sees it: versions, suites, names, and what is refused."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import shared
from tests.live.programs.installed import needs, run

SERVICES = {"smtp": "smtp", "submission": "smtp", "pop3": "pop3", "submissions": "", "pop3s": ""}


class SuiteTests(SynchronousTestCase):
    """The development CA's RSA and ECDSA certificates in one context."""

    def setUp(self) -> None:
        self.daemon = shared(type(self))

    def client(self, service: str, *options: str, status: int | None = 0) -> str:
        """What s_client says of a handshake with one port."""
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"localhost:{self.daemon.ports[service]}",
            "-CAfile",
            str(self.daemon.ca),
        ]
        command += ["-servername", "localhost", "-verify_hostname", "localhost", "-verify_return_error", *options]
        if SERVICES[service]:
            command += ["-starttls", SERVICES[service]]
        return run(command, stdin=b"QUIT\r\n", status=status).stdout.decode("utf-8", "replace")

    def suite(self, service: str, *options: str) -> str:
        """The version and suite that were negotiated."""
        text = self.client(service, *options)
        self.assertIn("Verify return code: 0 (ok)", text)
        found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", text)
        assert found is not None, text
        return f"{found[1]} {found[2]}"

    @needs("openssl")
    def test_rsa_and_ecdsa_suites_both_work_on_every_port(self) -> None:
        """One context holds both certificates."""
        for service in SERVICES:
            for name in ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"):
                self.assertEqual(self.suite(service, "-tls1_2", "-cipher", name), f"TLSv1.2 {name}")

    @needs("openssl")
    def test_tls_1_3_is_what_a_modern_client_gets(self) -> None:
        """Without being asked for a version."""
        for service in SERVICES:
            self.assertRegex(self.suite(service), r"^TLSv1\.3 TLS_")

    @needs("openssl")
    def test_old_versions_are_refused(self) -> None:
        """RFC 8996: TLS 1.0 and 1.1 are dead. Level 0 makes this client willing."""
        for version in ("-tls1", "-tls1_1"):
            text = self.client("pop3s", version, "-cipher", "DEFAULT:@SECLEVEL=0", status=None)
            self.assertIn("Cipher is (NONE)", text)

    @needs("openssl")
    def test_suites_without_forward_secrecy_or_aead_are_refused(self) -> None:
        """Static RSA and CBC, which libraries still allow by default."""
        for name in (
            "AES128-GCM-SHA256",
            "AES256-SHA256",
            "ECDHE-RSA-AES128-SHA",
            "ECDHE-RSA-AES256-SHA384",
            "DHE-RSA-AES128-GCM-SHA256",
        ):
            text = self.client("submissions", "-tls1_2", "-cipher", name, status=None)
            self.assertIn("Cipher is (NONE)", text, name)

    @needs("openssl")
    def test_another_name_does_not_verify(self) -> None:
        """The certificate is for localhost."""
        text = self.client("pop3s", "-verify_hostname", "mail.example.net", status=None)
        self.assertRegex(text, r"(?i)hostname mismatch")
