"""The commands for the configuration: example, show and check."""

from __future__ import annotations

import json
import os
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from emailsys import pki
from emailsys.cli import active_config
from emailsys.cli.commands import config as config_command
from emailsys.config.exit_status import Exit
from emailsys.config.loader import example
from emailsys.config.settings import DATABASE_NAME
from emailsys.control import control_socket
from emailsys.control.requests import Request, RouteList
from tests.live.programs.lab import NameServer
from tests.unit.cli.cli_case import CLICase


class ConfigTests(CLICase):
    """The commands config example, check and show."""

    def write(self, text: str) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_text(text, "utf-8")
        return str(path)

    def test_the_example_is_printed_as_it_is(self) -> None:
        """The output can be redirected into a file."""
        self.assertEqual(self.fine("config", "example"), example())

    def test_show_names_the_file_of_the_settings(self) -> None:
        """The settings are those of the embedded default or of a file."""
        _, out, err = self.run_it("config", "show")
        self.assertIn("from the embedded default", err)
        self.assertIn('smtp = ["localhost:2525"]', out)
        path = self.write('[listen]\nsmtp = ["127.0.0.1:26"]\n')
        _, out, err = self.run_it("config", "show", "--config", path)
        self.assertIn(f"from {path}", err)
        self.assertIn('smtp = ["127.0.0.1:26"]', out)

    def test_a_right_file_is_ok_and_the_environment_may_name_it(self) -> None:
        """Unusual settings cause warnings."""
        path = self.write('hostname = "mx"\n[listen]\nsmtp = ["127.0.0.1:2525"]\n')
        os.environ["EMAILSYS_CONFIG"] = path
        status, out, err = self.run_it("config", "check")
        self.assertEqual((status, out), (0, f"{path}: ok\n"))
        for warning in ("hostname: 'mx' is not a full host name", "user: not set", "tls.certificates: none"):
            self.assertIn(f"{path}: warning: {warning}", err)
        self.assertFalse(self.state.exists())
        nothing = self.write("[listen]\nsmtp = []\nsubmission = []\nsubmissions = []\npop3 = []\npop3s = []\n")
        self.assertIn("no service has an address", self.run_it("config", "check", nothing)[2])

    def test_each_mistake_is_reported_with_file_and_key(self) -> None:
        """Certificates, user, addresses and state folder are checked, and nothing is created."""
        self.state.mkdir(mode=0o700)
        self.state.chmod(0o777)
        path = self.write(
            'user = "no-such-user"\n[listen]\nsmtp = ["192.0.2.1:25"]\n'
            '[[tls.certificates]]\nchain = "no.pem"\nkey = "no.key"\n[checks]\nreceive = ["plugin:no-such"]\n'
        )
        lines = self.refused(Exit.CONFIG, "config", "check", path).splitlines()
        for expected in (
            "tls.certificates[1]: ",
            "user: found",
            "state folder",
            "listen.smtp: found 192.0.2.1",
            "checks.",
        ):
            self.assertTrue(any(line.startswith(f"{path}: {expected}") for line in lines), (expected, lines))

    def test_a_certificate_for_another_host_or_open_to_others_is_warned_of(self) -> None:
        """Clients that check the name refuse such a certificate. A key that all users can read causes a warning."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        folder = Path(self.mktemp()).absolute()
        self.fine("certs", "init", "--state", str(folder), "--config", self.write('hostname = "mail.example.org"\n'))
        folder /= "certs"
        key = folder / "server-rsa.key"
        text = f'[[tls.certificates]]\nchain = "{folder}/server-rsa.pem"\nkey = "{key}"\n'
        key.chmod(0o644)
        other = self.run_it("config", "check", self.write(f'hostname = "other.example.org"\n{text}'))[2]
        self.assertIn("warning: tls.certificates: none is for other.example.org (hostname)", other)
        self.assertIn(f"warning: tls.certificates[1].key: {key} is open to every user", other)
        key.chmod(0o600)
        right = self.run_it("config", "check", self.write(f'hostname = "mail.example.org"\n{text}'))[2]
        self.assertNotIn("tls.certificates", right)
        if os.geteuid() == 0:
            right = self.run_it("config", "check", self.write(f'user = "nobody"\n{text}'))[2]
            self.assertIn(
                f"tls.certificates[1]: nobody cannot read {key}; the daemon will not serve renewed certificates", right
            )

    def test_metrics_that_anybody_can_read_are_warned_of(self) -> None:
        """They need no password. An address of a private network is the operator's decision."""
        for listen, is_told in (
            ("*:9725", True),
            ("[::]:9725", True),
            ("localhost:9725", False),
            ("127.0.0.1:0", False),
        ):
            told = self.run_it("config", "check", self.write(f'[monitoring]\nmetrics_listen = "{listen}"\n'))[2]
            with self.subTest(listen):
                self.assertEqual("can read the metrics, which need no password" in told, is_told, told)

    def test_a_certificate_that_is_served_with_a_warning_is_a_warning_of_check(self) -> None:
        """An expired certificate does not stop the daemon, so that `config check` before the start does not either."""
        folder = Path(self.mktemp()).absolute()
        files = pki.make_variant(folder, "expired")[1]
        path = self.write(f'[[tls.certificates]]\nchain = "{files.chain}"\nkey = "{files.key}"\n')
        status, out, err = self.run_it("config", "check", path)
        self.assertEqual((status, out), (0, f"{path}: ok\n"))
        expired = f"warning: tls.certificates[{{}}]: {files.chain}: the certificate expired on"
        self.assertIn(expired.format(1), err)
        # Another pair that cannot be read does not hide the warning.
        text = f'[[tls.certificates]]\nchain = "no.pem"\nkey = "no.key"\n{Path(path).read_text()}'
        told = self.refused(Exit.CONFIG, "config", "check", self.write(text))
        self.assertIn("tls.certificates[1]: ", told)
        self.assertIn(expired.format(2), told)

    def test_a_certificate_that_the_start_refuses_is_an_error_of_check(self) -> None:
        """A chain that OpenSSL refuses, although it can be read; a damaged development CA. Both were ok."""
        folder = Path(self.mktemp()).absolute()
        files = pki.ensure_development_ca(folder).certificates[0]
        key = rsa.generate_private_key(65537, 1024)
        name, now = x509.Name([]), datetime.now(UTC)
        weak = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1))
        files.chain.write_bytes(files.chain.read_bytes() + weak.sign(key, SHA256()).public_bytes(Encoding.PEM))
        path = self.write(f'[[tls.certificates]]\nchain = "{files.chain}"\nkey = "{files.key}"\n')
        told = self.refused(Exit.CONFIG, "config", "check", path)
        self.assertIn(f"tls.certificates[1]: {files.chain}: OpenSSL refuses certificate or key: ca key too small", told)
        self.fine("certs", "init")
        (self.state / "certs" / "ca.key").unlink()
        told = self.refused(Exit.CONFIG, "config", "check", self.write("[smtp]\n"))
        self.assertIn("the development CA cannot be used: ", told)
        self.assertIn("the key of ca.pem is missing. Remove ", told)

    def test_check_looks_at_source_addresses_ca_file_and_folders(self) -> None:
        """Addresses, the CA file and the folder of the log are checked."""
        authorities = self.write("no certificate")
        path = self.write(
            f'[outbound]\nsource_ipv4 = "192.0.2.1"\nca_file = "{authorities}"\n'
            '[monitoring]\nmail_log = "no/such/folder/mail.log"\n'
            '[queue]\nwarn_after = "6d"\n'
        )
        lines = self.refused(Exit.CONFIG, "config", "check", path).splitlines()
        for expected in (
            'outbound.source_ipv4: found "192.0.2.1"; this machine cannot listen there',
            f"outbound.ca_file: {authorities}: contains no certificate of an authority",
            "monitoring.mail_log: found ",
            'warning: queue.warn_after: "144h" is not less than give_up_after',
        ):
            self.assertTrue(any(line.startswith(f"{path}: {expected}") for line in lines), (expected, lines))

    def test_programs_are_told_of_settings_and_their_flaws_as_json(self) -> None:
        """All problems are reported."""
        shown = json.loads(self.fine("config", "show", "--json"))
        self.assertEqual(shown["listen"]["smtp"], ["localhost:2525"])
        path = self.write('hostname = "mx"\n[smtp]\nmax_recipients = "x"\n')
        status, out, _ = self.run_it("config", "check", path, "--json")
        told = json.loads(out)
        self.assertEqual((status, told["file"], told["ok"], len(told["problems"])), (Exit.CONFIG, path, False, 1))
        path = self.write('hostname = "mx"\n[listen]\nsmtp = ["127.0.0.1:2525"]\n')
        told = json.loads(self.fine("config", "check", path, "--json"))
        self.assertEqual((told["ok"], told["problems"]), (True, []))
        self.assertIn(f"{path}: warning: hostname: 'mx' is not a full host name", told["warnings"][0])

    def test_the_routes_of_the_store_are_looked_at_where_the_daemon_runs(self) -> None:
        """Routes in the store are checked, after those in the file."""
        route: dict[str, Any] = {
            "host": "a.example",
            "port": 465,
            "tls": "opportunistic",
            "implicit_tls": False,
            "username": "we",
        }
        route["certificate_fingerprint"] = None
        rows = [
            {**route, "to": None, "from": None, "certificate_name": None},
            {**route, "to": "b.example", "from": None, "certificate_name": "c.example", "username": None},
        ]

        def ask(folder: Path, request: Request) -> dict[str, object]:
            self.assertEqual(folder, self.state)
            return {"result": rows if request == RouteList() else {}}

        self.patch(control_socket, "ask", ask)
        path = self.write(
            'hostname = "mx.example.org"\n[[routing.routes]]\nhost = "d.example"\n[outbound]\nenabled = false\n'
        )
        told = json.loads(self.fine("config", "check", path, "--json"))
        found = [line.removeprefix("the store: warning: ") for line in told["warnings"] if "the store: " in line]
        self.assertEqual(
            [line.partition(";")[0] for line in found],
            [
                "route from any domain to any domain: never used",
                'route from any domain to any domain.tls: "opportunistic"',
                "route from any domain to any domain.implicit_tls: false",
                'route from any domain to b.example.certificate_name: it has no effect without tls = "verified"',
                "route from any domain to b.example.implicit_tls: false",
            ],
        )

    def test_the_hosts_of_routes_are_looked_up(self) -> None:
        """`config check` and `route set` say what they found, and what is wrong with the rest."""
        names = NameServer()
        self.addCleanup(names.close)
        names.zone.add("smart.example", "A", "192.0.2.7")
        names.zone.add("smart.example", "AAAA", "2001:db8::7")
        path = self.write(
            'hostname = "mx.example.org"\n[[routing.routes]]\nhost = "smart.example"\n'
            '[[routing.routes]]\nhost = "gone.example"\nrecipient_domain = "a.example"\n'
            '[[routing.routes]]\nhost = "192.0.2.9"\nrecipient_domain = "b.example"\n'
            f"[outbound]\n{names.config}"
        )
        told = json.loads(self.fine("config", "check", path, "--json"))
        self.assertEqual(
            told["found"],
            [
                "routing.routes[1].host: smart.example is 192.0.2.7, 2001:db8::7",
                "routing.routes[3].host: [192.0.2.9] is 192.0.2.9",
            ],
        )
        gone = "mail waits: 451 4.4.3 the host gone.example has no address in DNS"
        self.assertTrue(any(f"warning: routing.routes[2].host: {gone}" in line for line in told["warnings"]), told)
        self.fine("init")
        os.environ["EMAILSYS_CONFIG"] = path
        _, _, err = self.run_it("route", "set", "smart.example", "--to", "c.example")
        self.assertIn("emailsys: route.host: smart.example is 192.0.2.7, 2001:db8::7\n", err)
        _, _, err = self.run_it("route", "set", "gone.example", "--to", "c.example")
        self.assertIn(f"emailsys: warning: route.host: {gone}", err)
        del os.environ["EMAILSYS_CONFIG"]
        # The daemon's own configuration counts, wherever it is.
        self.patch(active_config, "daemon_status", lambda where: {"config": path, "pid": 1})
        _, _, err = self.run_it("route", "set", "smart.example", "--to", "c.example")
        self.assertIn("emailsys: route.host: smart.example is 192.0.2.7, 2001:db8::7\n", err)

    def test_a_missing_package_is_reported_with_the_command_for_this_environment(self) -> None:
        """`pip` alone may belong to another Python than the daemon's."""
        self.patch(config_command, "find_spec", lambda name: None)
        path = self.write('[store]\nurl = "postgresql://db/mail"\n[monitoring]\nmetrics_listen = "127.0.0.1:9725"\n')
        said = self.refused(Exit.CONFIG, "config", "check", path)
        self.assertIn(f"install it: {shlex.quote(sys.executable)} -m pip install 'psycopg[binary]'", said)
        self.assertIn(f"install it: {shlex.quote(sys.executable)} -m pip install prometheus-client", said)

    def test_a_password_file_that_others_can_read_is_warned_of(self) -> None:
        """Users who can read the password can send as this system."""
        secret = Path(self.write("hidden\n"))
        path = self.write(
            'hostname = "mx.example.org"\n[[routing.routes]]\nhost = "a.example"\ntls = "verified"\nusername = "we"\n'
            f'password_file = "{secret}"\n[outbound]\nenabled = false\n'
        )
        for mode, warned in ((0o604, True), (0o600, False)):
            secret.chmod(mode)
            self.assertEqual("is readable by other users; chmod 600" in self.run_it("config", "check", path)[2], warned)
        for nothing in ("", "\n", "two\nlines\n"):
            secret.write_text(nothing)
            self.assertIn("holds a password on one line", self.refused(Exit.CONFIG, "config", "check", path))

    def test_errors_of_the_file_itself_are_all_told(self) -> None:
        """Each problem is one line."""
        path = self.write('[smtp]\nmax_recipients = "x"\nmax_recipient = 5\n')
        err = self.refused(Exit.CONFIG, "config", "check", path)
        self.assertEqual(len([line for line in err.splitlines() if path in line]), 2, err)
        self.refused(Exit.CONFIG, "user", "list", "--config", path)

    def test_the_password_of_a_store_url_is_not_printed_on_stderr(self) -> None:
        """The output has the URL of the store without its password."""
        path = self.write('[store]\nurl = "postgresql://mail:secret@db.example/mail"\n')
        # A file of SQLite could be meant, too.
        self.state.mkdir(exist_ok=True)
        (self.state / DATABASE_NAME).touch()
        _, _, err = self.run_it("config", "show", "--config", path)
        self.assertIn("store postgresql://mail@db.example/mail", err)
        self.assertNotIn("secret", err)


del CLICase
