"""The configuration file: the settings it loads to, and the errors of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.loader import ConfigError, embedded, example, load, parse
from emailsys.config.settings import MIB, CertificateFiles, POP3Settings, Settings, SMTPSettings
from emailsys.config.toml_text import render

STATE = Path("/srv/state")


def read(text: str) -> Settings:
    return parse(text, "/etc/mail/emailsys.toml", STATE, machine="mx.example.org")


class RightFileTests(SynchronousTestCase):
    """Valid files."""

    def test_an_empty_file_listens_on_the_standard_ports_of_every_address(self) -> None:
        """A system with a configuration file serves others, so it listens on the standard ports of all addresses."""
        settings = read("")
        self.assertEqual(settings.hostname, "mx.example.org")
        self.assertEqual(settings.smtp_listen.addresses, (("*", 25),))
        self.assertEqual(settings.submission_listen.addresses, (("*", 587),))
        self.assertEqual(settings.submissions_listen.addresses, (("*", 465),))
        self.assertEqual(settings.pop3_listen.addresses, (("*", 110),))
        self.assertEqual(settings.pop3s_listen.addresses, (("*", 995),))

    def test_a_file_that_does_not_say_so_takes_no_password_in_the_clear(self) -> None:
        """Only the embedded default accepts passwords without TLS."""
        settings = read("")
        self.assertFalse(settings.smtp.plaintext_auth_on_loopback)
        self.assertFalse(settings.pop3.plaintext_auth_on_loopback)
        told = read("[smtp]\nplaintext_auth_on_loopback = true\n[pop3]\nplaintext_auth_on_loopback = true\n")
        self.assertTrue(told.smtp.plaintext_auth_on_loopback)
        self.assertTrue(told.pop3.plaintext_auth_on_loopback)

    def test_the_example_loads_to_the_defaults(self) -> None:
        """The output of `config example` has the defaults."""
        self.assertEqual(read(example()), read(""))

    def test_every_line_of_the_example_that_is_commented_out_can_be_used(self) -> None:
        """Removing the # in front of an offered setting gives a file that loads."""
        text = re.sub(r"(?m)^#(?=[a-z0-9_]+ = |\[\[)", "", example())
        # The one file that is read with the configuration.
        password = Path(self.mktemp()).absolute()
        password.write_text("hidden\n")
        offered = "/etc/emailsys/smtp.example.net.password"
        self.assertIn(offered, text)
        settings = read(text.replace(offered, str(password)))
        self.assertEqual(settings.routing.routes[0].password, "hidden")
        self.assertEqual(settings.hostname, "mail.example.org")
        self.assertEqual((settings.user, settings.group), ("emailsys", "emailsys"))
        self.assertEqual(len(settings.tls.certificates), 1)
        self.assertEqual(settings.store.url, "postgresql://emailsys@localhost/emailsys")

    def test_durations_and_sizes_are_numbers_or_text_with_a_unit(self) -> None:
        """Units such as 5m and 50 MiB are allowed."""
        settings = read(
            '[smtp]\nmax_message_size = "1.5 MiB"\ncommand_timeout = "2m"\ndata_timeout = 90\nclose_timeout = "500ms"\n'
        )
        self.assertEqual(
            settings.smtp,
            SMTPSettings(max_message_size=3 * MIB // 2, command_timeout=120.0, data_timeout=90.0, close_timeout=0.5),
        )
        self.assertEqual(read("[smtp]\nmax_message_size = 100000").smtp.max_message_size, 100_000)

    def test_a_service_listens_on_any_number_of_addresses_of_both_families(self) -> None:
        """IPv4, IPv6, all addresses, loopback, or no address."""
        settings = read(
            '[listen]\nsmtp = ["192.0.2.1:25", "[2001:DB8::1]:25", "localhost:2525"]\npop3 = []\npop3s = "*:995"\n'
        )
        self.assertEqual(settings.smtp_listen.addresses, (("192.0.2.1", 25), ("2001:db8::1", 25), ("localhost", 2525)))
        self.assertEqual(settings.pop3_listen.addresses, ())
        self.assertEqual(settings.pop3s_listen.addresses, (("*", 995),))

    def test_names_of_certificates_count_from_the_folder_of_the_file(self) -> None:
        """A folder with configuration and certificates can be moved as a whole."""
        settings = read('[[tls.certificates]]\nchain = "certs/chain.pem"\nkey = "/keys/key.pem"\n')
        self.assertEqual(
            settings.tls.certificates, (CertificateFiles(Path("/etc/mail/certs/chain.pem"), Path("/keys/key.pem")),)
        )

    def test_settings_that_are_shown_load_again_to_the_same(self) -> None:
        """The output of `config show` is a configuration file."""
        one = read(
            'hostname = "a.example"\nuser = "mail"\ngroup = "mail"\n[listen]\nsmtp = ["[::1]:26"]\n[pop3]\n'
            'session_timeout = "15m"\nserve_utf8_raw = true\n[store]\nurl = "postgresql://h/\\"d\\""\n'
            '[[tls.certificates]]\nchain = "/c"\nkey = "/k"\n[login]\nmax_waiting = 7\n'
            '[limits]\nmax_failed_logins = 3\nhalf_life = "20m"\n'
            '[sending]\nmessages_per_day = 5\nunlimited = ["news@a.example", "192.0.2.0/24"]\n'
        )
        for settings in (one, read(""), embedded(STATE)):
            self.assertEqual(read(render(settings)), settings)

    def test_settings_that_are_shown_have_no_password(self) -> None:
        """The password of a database is in the configuration file alone."""
        shown = render(read('[store]\nurl = "postgresql://mail:hunter2@h/d?sslmode=require&password=hunter2"\n'))
        self.assertNotIn("hunter2", shown)
        self.assertIn('url = "postgresql://mail@h/d?sslmode=require', shown)

    def test_the_embedded_default_is_loopback_with_passwords_in_the_clear(self) -> None:
        """Without a file, the daemon serves only users of this machine."""
        settings = load(None, STATE)
        self.assertEqual(settings, embedded(STATE))
        self.assertEqual(
            [
                listen.addresses
                for listen in (
                    settings.smtp_listen,
                    settings.submission_listen,
                    settings.submissions_listen,
                    settings.pop3_listen,
                    settings.pop3s_listen,
                )
            ],
            [(("localhost", port),) for port in (2525, 2587, 2465, 2110, 2995)],
        )
        self.assertEqual(settings.pop3, POP3Settings(plaintext_auth_on_loopback=True))
        self.assertTrue(settings.smtp.plaintext_auth_on_loopback)


class WrongFileTests(SynchronousTestCase):
    """Each error names the file, the key, what was found and what is allowed."""

    def test_a_table_or_key_that_was_pasted_twice_is_told_with_both_lines(self) -> None:
        """tomllib says that it cannot declare something."""
        for text, words in (
            (
                "[smtp]\nmax_recipients = 100\n[queue]\n[smtp]\nmax_refusals = 10\n",
                "line 4: the table [smtp] stands in the file twice; move its keys to the first one on line 1",
            ),
            (
                "[outbound.timeouts]\n\n[outbound.timeouts]\n",
                "line 3: the table [outbound.timeouts] stands in the file twice; move its keys to the first one on",
            ),
            ('hostname = "a"\nhostname = "b"\n', "line 2: a key stands in its table twice; remove one of them"),
        ):
            with self.assertRaises(ConfigError) as caught:
                read(text)
            self.assertIn(words, str(caught.exception))

    def problems(self, text: str) -> list[str]:
        with self.assertRaises(ConfigError) as caught:
            read(text)
        problems: list[str] = caught.exception.problems
        self.assertEqual(str(caught.exception), "\n".join(problems))
        return problems

    def one(self, text: str) -> str:
        problems = self.problems(text)
        self.assertEqual(len(problems), 1, problems)
        self.assertTrue(problems[0].startswith("/etc/mail/emailsys.toml: "), problems[0])
        self.assertNotIn("\n", problems[0])
        return problems[0].removeprefix("/etc/mail/emailsys.toml: ")

    def test_all_errors_of_a_file_are_told_at_once(self) -> None:
        """Operators can correct all of them in one step."""
        problems = self.problems(
            'hostname = 5\nusr = "mail"\n[smtp]\nmax_recipients = "many"\n[pop3]\nsession_timeout = "5m"\n'
            '[listen]\nsmtp = ["mail.example.org:25"]\n[tls]\nhandshake_timeout = true\n'
        )
        self.assertEqual(
            [problem.split(": ")[1] for problem in problems],
            ["hostname", "listen.smtp", "smtp.max_recipients", "pop3.session_timeout", "tls.handshake_timeout", "usr"],
        )

    def test_a_value_of_the_wrong_kind_is_quoted_with_what_is_allowed(self) -> None:
        """The error has the value and the allowed values."""
        self.assertEqual(
            self.one('[smtp]\nmax_recipients = "many"'),
            'smtp.max_recipients: found "many"; allowed: a whole number from 100 to 1000000',
        )
        self.assertEqual(self.one("[pop3]\nserve_utf8_raw = 1"), "pop3.serve_utf8_raw: found 1; allowed: true or false")
        self.assertEqual(
            self.one("[login]\nhashing_threads = true"),
            "login.hashing_threads: found true; allowed: a whole number from 1 to 64",
        )
        for wrong, shown in (('"two"', '"two"'), ("65", "65"), ("true", "true")):
            self.assertEqual(
                self.one(f"[pop3]\nworkers = {wrong}"),
                f'pop3.workers: found {shown}; allowed: a whole number from 0 to 64, or "cores"',
            )

    def test_workers_are_a_number_or_one_for_each_core(self) -> None:
        self.assertEqual(read("[pop3]\nworkers = 3").pop3.workers, 3)
        self.assertIn(read('[pop3]\nworkers = "cores"').pop3.workers, range(1, 65))

    def test_workers_serve_all_services_or_pop3_alone(self) -> None:
        self.assertEqual(read("workers = 2\n[pop3]\nworkers = 0").workers, 2)
        self.assertEqual(
            self.one("workers = 2\n[pop3]\nworkers = 1"),
            "pop3.workers: found 1; allowed: 0, because workers = 2 serve POP3, too",
        )

    def test_a_pop3_session_of_less_than_ten_minutes_is_refused(self) -> None:
        """RFC 1939 §3 requires at least ten minutes."""
        self.assertEqual(
            self.one('[pop3]\nsession_timeout = "5m"'),
            'pop3.session_timeout: found "5m"; allowed: seconds, or a duration such as "30s", "5m" or "1h", '
            "from 600 to 604800 seconds",
        )

    def test_no_odd_number_passes_for_a_duration_or_a_size(self) -> None:
        """Infinity, a missing unit, a sign and digits of other scripts are refused."""
        for value in ("inf", "nan", "-5", '"5"', '"5 minutes"', '"+5m"', '"\u0665m"', '""', "[]", "0"):
            self.assertIn("found", self.one(f"[smtp]\ncommand_timeout = {value}"))
        for value in ("100000.5", '"50MiB MiB"', '"50 mib"', '"0.0000001 GiB"', "1", "true"):
            self.assertIn("found", self.one(f"[smtp]\nmax_message_size = {value}"))

    def test_an_address_to_listen_on_is_an_ip_address_with_a_port(self) -> None:
        """Names are not looked up, and each address needs a port."""
        for value in ("mail.example.org:25", "192.0.2.1", "192.0.2.1:65536", "2001:db8::1:25", "[::1]"):
            self.assertTrue(self.one(f'[listen]\nsmtp = ["{value}"]').startswith(f'listen.smtp: found "{value}"; '))
        self.assertTrue(self.one("[listen]\nsmtp = [25]").startswith("listen.smtp: found 25; "))
        self.assertTrue(self.one("[listen]\nsmtp = 25").startswith("listen.smtp: found 25; allowed: a list"))
        self.assertEqual(
            self.one('[listen]\nsmtp = ["*:25", "*:25"]'), 'listen.smtp: found "*:25"; allowed: each address once'
        )

    def test_two_services_cannot_share_an_address(self) -> None:
        """The error names the second service and the first one."""
        self.assertEqual(
            self.one('[listen]\nsmtp = ["*:587"]'),
            'listen.submission: found "*:587", where listen.smtp listens; allowed: an address of its own',
        )
        self.assertEqual(
            self.one('[listen]\nsmtp = ["*:587"]\nsubmission = ["[::1]:587"]'),
            'listen.submission: found "[::1]:587", where listen.smtp listens on "*:587"; '
            "allowed: an address of its own",
        )
        self.assertEqual(
            self.one('[monitoring]\nmetrics_listen = "127.0.0.1:995"'),
            'monitoring.metrics_listen: found "127.0.0.1:995", where listen.pop3s listens on "*:995"; '
            "allowed: an address of its own",
        )

    def test_an_address_that_another_one_covers_is_an_error(self) -> None:
        """The start said that another program listens there, and it was the daemon itself."""
        for first, second in (
            ("*:25", "127.0.0.1:25"),
            ("*:25", "localhost:25"),
            ("0.0.0.0:25", "192.0.2.1:25"),
            ("localhost:25", "[::1]:25"),
        ):
            with self.subTest(first, second=second):
                self.assertEqual(
                    self.one(f'[listen]\nsmtp = ["{first}", "{second}"]'),
                    f'listen.smtp: found "{second}"; allowed: "{first}" alone, which covers it',
                )
        for pair in ('"0.0.0.0:25", "[::]:25"', '"*:0", "127.0.0.1:0"', '"127.0.0.1:25", "127.0.0.2:25"'):
            parse(f"[listen]\nsmtp = [{pair}]", "x", Path("state"))

    def test_a_byte_order_mark_is_taken_off(self) -> None:
        """Editors of Windows put it there; in the file of a password too."""
        path = Path(self.mktemp()).absolute()
        secret = path.with_name(f"{path.name}.password")
        secret.write_bytes(b"\xef\xbb\xbfcorrect horse\r\n")
        route = f'[[routing.routes]]\nhost = "smtp.example.net"\nusername = "me"\npassword_file = "{secret}"\n'
        path.write_bytes(b"\xef\xbb\xbf" + f'hostname = "mx.example.org"\n{route}'.encode())
        settings = load(path, Path("state"))
        self.assertEqual((settings.hostname, settings.routing.routes[0].password), ("mx.example.org", "correct horse"))

    def test_a_mistyped_key_is_answered_with_the_one_that_was_meant(self) -> None:
        """The error suggests the key with the most similar name."""
        self.assertEqual(
            self.one("[smtp]\nmax_message_sise = 5"),
            "smtp.max_message_sise: found an unknown key; did you mean max_message_size?",
        )
        self.assertEqual(self.one("[lissten]\nsmtp = []"), "lissten: found an unknown key; did you mean listen?")
        self.assertIn("--state", self.one('state = "/srv"'))
        self.assertIn("allowed: max_waiting, hashing_threads", self.one("[login]\nzzz = 1"))

    def test_a_certificate_needs_chain_and_key(self) -> None:
        """The error names the missing one."""
        self.assertEqual(
            self.one('[[tls.certificates]]\nchain = "c"\nkey = "k"\n[[tls.certificates]]\nchain = "d"'),
            "tls.certificates[2].key: found nothing; allowed: the name of a PEM file, "
            'such as "/etc/emailsys/fullchain.pem"',
        )
        self.assertIn("tls.certificates: found", self.one('[tls]\ncertificates = "c"'))
        self.assertIn(
            "tls.certificates[1]: found 5; allowed: a table, [[tls.certificates]]",
            self.problems("[tls]\ncertificates = [5]")[0],
        )

    def test_a_value_where_a_table_belongs_is_told(self) -> None:
        """`smtp = 25` outside of a table is a frequent mistake."""
        self.assertEqual(self.one("smtp = 25"), "smtp: found 25; allowed: a table, [smtp]")

    def test_a_host_name_is_letters_digits_and_hyphens(self) -> None:
        """The host name is part of every greeting and Received field."""
        for value in ("mail example", "-a.example", "a..b", "mail.example.", "ä.example", "a" * 254, ""):
            self.assertIn("hostname: found", self.one(f'hostname = "{value}"'))

    def test_only_the_two_engines_are_stores(self) -> None:
        """A mistyped URL is found at the start, not at the first message."""
        self.assertIn("store.url: found", self.one('[store]\nurl = "mysql://h/d"'))
        for port in ("x", "0", "70000", "5432,h2:5432", "-1"):
            self.assertIn("a port from 1", self.one(f'[store]\nurl = "postgresql://me@h:{port}/d"'))
        for url in ("postgresql://h/d", "postgresql://me:a:b@[::1]:5432/d", "postgresql:///d?host=/run/pg"):
            self.assertEqual(read(f'hostname = "mx.example.org"\n[store]\nurl = "{url}"').store.url, url)

    def test_no_error_shows_a_password(self) -> None:
        """Errors go to the log, and are sent to others who may help."""
        for line in (
            '[store]\nurl = "mysql://me:secret@h/d"',
            '[store]\nurl = "me:secret@h/d"',
            '[store]\nurl = ["postgresql://me:secret@h/d"]',
            '[store]\nurl = "postgresql://me:secret@h:x/d"',
            '[store]\nuri = "secret"',
        ):
            self.assertNotIn("secret", self.one(line))
        route = '[[routing.routes]]\nhost = "smtp.example.net"\npassword = "secret"\n'
        self.assertNotIn("secret", self.one(route))

    def test_malformed_toml_is_reported_with_line_and_column(self) -> None:
        """The error has the line and the column."""
        self.assertRegex(self.one("[smtp]\nmax = = 5"), r"is not TOML: .*line 2, column 7")
        self.assertIn("text needs quotation marks", self.one("hostname = mail.example.org\n"))
        self.assertIn("quotation mark may be missing at the end", self.one('hostname = "mail.example.org\n'))

    def test_long_and_nested_values_are_cut_in_the_error(self) -> None:
        """Each error is one readable line."""
        self.assertLess(len(self.one(f'user = "{"x" * 10000}"')), 200)
        self.assertIn("a list of 5", self.one("user = [1, 2, 3, 4, 5]"))
        self.assertIn('["a", 1]', self.one('user = ["a", 1]'))
        self.assertIn("a table", self.one("user = {a = 1}"))
        self.assertIn(r'"a\nb"', self.one('user = "a\\nb"'))


class FileTests(SynchronousTestCase):
    """Files on disk."""

    def test_a_missing_file_is_an_error_not_the_default(self) -> None:
        """After a mistyped --config, the daemon does not start with other settings."""
        path = Path(self.mktemp())
        with self.assertRaises(ConfigError) as caught:
            load(path, STATE)
        self.assertEqual(caught.exception.problems, [f"{path}: cannot be read: No such file or directory"])

    def test_a_file_that_is_not_utf8_is_told_with_its_line(self) -> None:
        """Files in Latin-1 are a frequent mistake."""
        path = Path(self.mktemp())
        path.write_bytes(b"# one\n# caf\xe9\n")
        with self.assertRaises(ConfigError) as caught:
            load(path, STATE)
        self.assertEqual(
            caught.exception.problems,
            [f"{path}: line 2: found octets that are not UTF-8; allowed: TOML in UTF-8"],
        )

    def test_a_file_is_loaded(self) -> None:
        """The ordinary case."""
        path = Path(self.mktemp())
        path.write_text('hostname = "MX.example.org"\n', "utf-8")
        self.assertEqual(load(path, STATE).hostname, "mx.example.org")
