"""The commands for certificates."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli import administer
from emailsys.cli.main import program
from emailsys.cli.options import Refused
from emailsys.config import locations
from emailsys.config.exit_status import Exit


class CertsCommandTests(SynchronousTestCase):
    """The commands certs, certs init, show, renew and recipe."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.folder = self.state / "certs"
        # A configuration of its own, so that the machine's is not found.
        config = Path(self.mktemp()).absolute()
        config.write_text('hostname = "mail.example.test"\n')
        self.environment = {"EMAILSYS_STATE": str(self.state), "EMAILSYS_CONFIG": str(config)}

    def run_command(self, *words: str) -> Result:
        return CliRunner().invoke(program, ["certs", *words], env=self.environment)

    def refused(self, *words: str) -> tuple[Exit, str]:
        """Run a command that fails. Return its exit status and stderr."""
        runner = CliRunner()
        with self.subTest(words):
            error = runner.invoke(program, ["certs", *words], env=self.environment, standalone_mode=False).exception
            assert isinstance(error, Refused), error
            return error.status, error.message

    def test_init_makes_the_ca_and_shows_it(self) -> None:
        """The names of written files go to stderr, the certificates to stdout."""
        result = self.run_command("init")
        self.assertEqual(result.exit_code, 0, result.output)
        for shown in (
            "CN=emailsys development CA",
            "RSA-2048",
            "P-256",
            "localhost, 127.0.0.1, ::1, mail.example.test",
            "396 days left",
        ):
            self.assertIn(shown, result.stdout)
        self.assertIn(f"wrote {self.folder / 'ca.pem'}", result.stderr)
        self.assertNotIn("wrote", self.run_command("init").stderr)

    def test_a_configured_certificate_is_read_as_leniently_as_the_daemon_reads_it(self) -> None:
        """Indented, as after a copy out of a document."""
        self.run_command("init")
        chain = self.folder.parent / "chain.pem"
        text = (self.folder / "server-rsa.pem").read_text()
        chain.write_text("".join(f"    {line}\n" for line in text.splitlines()))
        config = Path(self.environment["EMAILSYS_CONFIG"])
        config.write_text(f'[[tls.certificates]]\nchain = "{chain}"\nkey = "{self.folder}/server-rsa.key"\n')
        shown = json.loads(self.run_command("show", "--json").stdout)
        self.assertEqual((shown[-1]["path"], shown[-1]["key"]), (str(chain), "RSA-2048"))

    def test_certs_alone_writes_nothing(self) -> None:
        """`emailsys certs` names the command that makes certificates, and shows those that exist."""
        status, message = self.refused()
        self.assertEqual((status, self.folder.exists()), (Exit.DATA, False))
        self.assertIn("emailsys certs init", message)
        self.run_command("init")
        self.assertEqual(self.run_command().stdout, self.run_command("show").stdout)

    def test_json_is_one_document_with_all_facts(self) -> None:
        """With --json, stdout has only the document."""
        self.run_command("init")
        shown = json.loads(self.run_command("show", "--json").stdout)
        self.assertEqual([Path(each["path"]).name for each in shown], ["ca.pem", "server-ecdsa.pem", "server-rsa.pem"])
        self.assertEqual(shown[1]["names"], ["localhost", "127.0.0.1", "::1", "mail.example.test"])

    def test_certs_are_made_for_the_hostname_of_the_running_daemon(self) -> None:
        """The certificates have the name in the daemon's configuration, also if --config named that file."""
        result = self.run_command("init")
        config = self.environment.pop("EMAILSYS_CONFIG")
        self.assertIn(f"for mail.example.test and this machine's loopback names: from {config}", result.stderr)
        self.patch(locations, "SYSTEM_CONFIG", self.state / "none")
        daemon = {"result": {"config": config, "pid": 4711}}
        self.patch(administer, "ask", lambda folder, request, timeout: daemon)
        result = self.run_command("renew")
        self.assertIn(f"from {config}, the configuration of the running daemon, process 4711", result.stderr)
        self.assertIn("localhost, 127.0.0.1, ::1, mail.example.test", result.stdout)

    def test_without_configuration_and_daemon_it_is_told_why_they_are_for_localhost_alone(self) -> None:
        """The output says how to choose another name."""
        del self.environment["EMAILSYS_CONFIG"]
        self.patch(locations, "SYSTEM_CONFIG", self.state / "none")
        result = self.run_command("init")
        self.assertIn("as no configuration was found and no daemon runs; --config FILE names one", result.stderr)
        self.assertNotIn("mail.example.test", result.stdout)

    def test_a_note_says_if_configured_certificates_are_served_instead(self) -> None:
        """`certs renew` would not change configured certificates."""
        config = Path(self.environment["EMAILSYS_CONFIG"])
        config.write_text(config.read_text() + '[[tls.certificates]]\nchain = "a.pem"\nkey = "a.key"\n')
        self.assertIn(
            f"from {config}; the daemon serves the certificates that it names, not these",
            self.run_command("renew").stderr,
        )

    def test_renew_issues_anew_and_leaves_ca_and_keys(self) -> None:
        """Programs that trust the CA still accept the new certificates."""
        self.run_command("init")
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.assertEqual(self.run_command("renew").exit_code, 0)
        changed = {name for name, octets in before.items() if (self.folder / name).read_bytes() != octets}
        self.assertEqual(changed, {"server-rsa.pem", "server-ecdsa.pem"})

    def test_show_without_certificates_says_how_to_make_them(self) -> None:
        """No certificate is created."""
        self.assertEqual(
            self.refused("show"), (Exit.DATA, "no certificates yet; create some with: emailsys certs init")
        )
        self.assertFalse(self.folder.exists())

    def test_a_damaged_authority_is_reported_in_one_line(self) -> None:
        """The exit status is that of a wrong certificate, without a traceback."""
        self.run_command("init")
        (self.folder / "ca.pem").write_text("x")
        for words in (("init",), ("show",)):
            status, told = self.refused(*words)
            self.assertEqual(status, Exit.CONFIG)
            self.assertIn("ca.pem: contains no certificate, or a damaged one. Remove it", told)

    def test_the_recipe_is_printed_with_its_place(self) -> None:
        """Users can read and copy the recipe."""
        result = self.run_command("recipe")
        self.assertIn("[variants.expired]", result.stdout)
        self.assertIn("recipe.toml", result.stderr)
