"""Values of the configuration from environment variables, and from variables and files that the file names."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.given import without_variables
from emailsys.config.loader import ConfigError, embedded, load, origins_of, parse
from emailsys.config.monitoring_settings import LogFormat
from emailsys.config.server_keys import TOP
from emailsys.config.toml_text import render

STATE = Path("/s")


class VariableTests(SynchronousTestCase):
    """EMAILSYS_TABLE__KEY goes before the file."""

    def test_each_kind_of_value(self) -> None:
        """Text needs no quotes; numbers, switches and lists are written as in TOML, nested tables with __."""
        settings = load(
            None,
            STATE,
            environ={
                "EMAILSYS_HOSTNAME": "mx.example.org",
                "EMAILSYS_LISTEN__SMTP": "*:25",
                "EMAILSYS_LISTEN__POP3": '["127.0.0.1:110", "[::1]:110"]',
                "EMAILSYS_SMTP__MAX_RECIPIENTS": "500",
                "EMAILSYS_SMTP__MAX_MESSAGE_SIZE": "20 MiB",
                "EMAILSYS_OUTBOUND__ENABLED": "true",
                "EMAILSYS_OUTBOUND__TIMEOUTS__QUIT": "7s",
                "EMAILSYS_ROUTING__ROUTES": '[{host = "smtp.example.net", port = 587}]',
                "EMAILSYS_MONITORING__LOG_FORMAT": "json",
                "EMAILSYS_LOGIN__MAX_WAITING": "",
                "EMAILSYS_STATE": "/elsewhere",
                "OTHER__SMTP__X": "1",
            },
        )
        self.assertEqual(settings.hostname, "mx.example.org")
        self.assertEqual(settings.smtp_listen.addresses, (("*", 25),))
        self.assertEqual(settings.pop3_listen.addresses, (("127.0.0.1", 110), ("::1", 110)))
        self.assertEqual((settings.smtp.max_recipients, settings.smtp.max_message_size), (500, 20 * 1024**2))
        self.assertEqual((settings.outbound.enabled, settings.outbound.timeouts.quit), (True, 7.0))
        self.assertEqual([(route.host, route.port) for route in settings.routing.routes], [("smtp.example.net", 587)])
        self.assertIs(settings.monitoring.log_format, LogFormat.JSON)
        self.assertEqual(settings.login, embedded(STATE).login)
        self.assertIsNone(settings.source)

    def test_an_environment_without_these_variables(self) -> None:
        """For a daemon that has a configuration of its own, such as that of `emailsys try`."""
        environ = {"EMAILSYS_SMTP__X": "1", "EMAILSYS_USER": "mail", "EMAILSYS_STATE": "/s", "PATH": "/bin"}
        self.assertEqual(without_variables(environ, TOP), {"EMAILSYS_STATE": "/s", "PATH": "/bin"})

    def test_a_variable_goes_before_the_file(self) -> None:
        """The rest of the table stays."""
        text = '[smtp]\nmax_recipients = 200\ndata_timeout = "9m"\n'
        settings = parse(text, "/f.toml", STATE, environ={"EMAILSYS_SMTP__MAX_RECIPIENTS": "300"})
        self.assertEqual((settings.smtp.max_recipients, settings.smtp.data_timeout), (300, 540.0))

    def test_what_is_wrong_is_named_by_its_variable(self) -> None:
        """Also an unknown key; the password of a URL is not shown."""
        environ = {
            "EMAILSYS_SMTP__MAX_RECIPIENTS": "many",
            "EMAILSYS_SMTP__MAX_RECIPENTS": "200",
            "EMAILSYS_STORE__URL": "mysql://mail:hunter2@h/d",
            "EMAILSYS_LISTEN__SMTP__X": "1",
        }
        error = self.assertRaises(ConfigError, parse, "", "/f.toml", STATE, environ=environ)
        text = str(error)
        self.assertIn('$EMAILSYS_SMTP__MAX_RECIPIENTS: smtp.max_recipients: found "many"; allowed: a whole', text)
        self.assertIn("$EMAILSYS_SMTP__MAX_RECIPENTS: smtp.max_recipents: found an unknown key; did you", text)
        self.assertIn("$EMAILSYS_STORE__URL: store.url: found", text)
        self.assertIn("listen.smtp: found a table", text)
        self.assertNotIn("hunter2", text)


class ReferenceTests(SynchronousTestCase):
    """{env:NAME} and {file:PATH} within the file."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "secret").write_text("\ufeffhunter2\n", "utf-8")
        self.file = self.folder / "emailsys.toml"

    def test_variables_and_files(self) -> None:
        """A reference may be a part of a text, stand in a list, and give a number."""
        self.file.write_text(
            'hostname = "{env:POD}.example.org"\n[smtp]\nmax_recipients = "{env:MANY}"\n'
            '[store]\nurl = "postgresql://mail:{file:secret}@db/mail"\n[listen]\nsmtp = ["{env:IP}:25"]\n'
        )
        environ = {"POD": "mx1", "MANY": "300", "IP": "192.0.2.1"}
        settings = load(self.file, STATE, environ=environ)
        self.assertEqual((settings.hostname, settings.smtp.max_recipients), ("mx1.example.org", 300))
        self.assertEqual(settings.store.url, "postgresql://mail:hunter2@db/mail")
        self.assertEqual(settings.smtp_listen.addresses, (("192.0.2.1", 25),))
        origins = origins_of(self.file, environ | {"EMAILSYS_POP3__LOGIN_TIMEOUT": "3m"})
        self.assertEqual(
            origins,
            {
                "hostname": "{env:POD}",
                "smtp.max_recipients": "{env:MANY}",
                "store.url": "{file:secret}",
                "listen.smtp": "{env:IP}",
                "pop3.login_timeout": "$EMAILSYS_POP3__LOGIN_TIMEOUT",
            },
        )
        shown = render(settings, origins)
        self.assertIn("max_recipients = 300  # {env:MANY}\n", shown)
        self.assertRegex(shown, r'(?m)^data_timeout = ".*"  # default$')
        self.assertNotIn("hunter2", shown)
        self.assertEqual(tomllib.loads(shown)["smtp"]["max_recipients"], 300)

    def test_a_pipe_is_named_and_not_waited_for(self) -> None:
        """Nor is a device read that has no end."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        os.mkfifo(self.folder / "pipe")
        for name in (str(self.folder / "pipe"), "/dev/zero"):
            self.file.write_text(f'hostname = "{{file:{name}}}"\n')
            error = self.assertRaises(ConfigError, load, self.file, STATE, environ={})
            self.assertIn(f"hostname: names the file {name}, which cannot be read: it is a pipe", str(error))

    def test_what_leads_nowhere_is_named(self) -> None:
        """The content of a file that does not fit may be a secret, and is not shown."""
        self.file.write_text(
            '[smtp]\nmax_recipients = "{file:secret}"\n[store]\nurl = "{env:NO_URL}"\n[tls]\nx = "{file:gone}"\n'
        )
        error = self.assertRaises(ConfigError, load, self.file, STATE, environ={})
        text = str(error)
        self.assertIn(f'{self.file}: smtp.max_recipients: found "{{file:secret}}"; allowed: a whole number', text)
        self.assertIn("store.url: names the environment variable NO_URL, which is not set", text)
        self.assertIn(f"tls.x: names the file {self.folder / 'gone'}, which cannot be read: No such file", text)
        self.assertNotIn("hunter2", text)

    def test_the_content_of_a_file_is_not_shown_for_a_variable_or_in_a_list(self) -> None:
        self.file.write_text('[web]\nhosts = ["{file:secret} x"]\n')
        environ = {"EMAILSYS_STORE__URL": "{file:secret}"}
        text = str(self.assertRaises(ConfigError, load, self.file, STATE, environ=environ))
        self.assertIn('$EMAILSYS_STORE__URL: store.url: found "{file:secret}"; allowed: "sqlite:', text)
        self.assertIn(f'{self.file}: web.hosts: found "{{file:secret}}"; allowed: a list', text)
        self.assertNotIn("hunter2", text)

    def test_an_origin_has_no_password_and_no_line_end(self) -> None:
        """The text around a reference may have them, and an origin is shown in a comment."""
        self.file.write_text('[store]\nurl = """postgresql://mail:hunter2@{env:HOST}/a\nb"""\n')
        environ = {"HOST": "db"}
        self.assertEqual(origins_of(self.file, environ), {"store.url": "{env:HOST}"})
        settings = load(self.file, STATE, environ=environ)
        tomllib.loads(render(settings, origins_of(self.file, environ)))

    def test_a_variable_may_refer_to_a_file(self) -> None:
        """Secrets are mounted as files, while the rest of the URL comes from the environment."""
        self.file.write_text("")
        environ = {"EMAILSYS_STORE__URL": f"postgresql://mail:{{file:{self.folder / 'secret'}}}@db/mail"}
        self.assertEqual(load(self.file, STATE, environ=environ).store.url, "postgresql://mail:hunter2@db/mail")
        self.assertEqual(origins_of(self.file, environ), {"store.url": "$EMAILSYS_STORE__URL"})
