"""The console program: help, errors and exit statuses, domains, and the choice of the store."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from emailsys.cli import administer
from emailsys.cli.main import run
from emailsys.config.exit_status import MEANING, Exit
from emailsys.config.settings import DATABASE_NAME
from emailsys.supervisor import FolderLock
from tests.unit.cli.cli_case import CLICase

UNBOUNDED = {"quota": None, "used": None}
CHECKOUT = Path(__file__).resolve().parents[3]


class ProgramTests(CLICase):
    """The program as a whole."""

    def test_help_names_every_command_and_every_exit_status(self) -> None:
        """Scripts can rely on them."""
        text = self.fine("--help")
        for name in (
            "try",
            "lab",
            "serve",
            "domain",
            "user",
            "alias",
            "route",
            "queue",
            "trace",
            "status",
            "watch",
            "verify",
            "upgrade",
            "config",
            "certs",
            "completion",
        ):
            self.assertIn(f"\n  {name} ", text)
        for status, meaning in MEANING.items():
            self.assertIn(f" {int(status)} {meaning}", " ".join(text.split()))
        self.assertLess(max(map(len, text.splitlines())), 80)

    def test_every_command_has_help(self) -> None:
        """At all levels."""
        for words in (
            ["try"],
            *(["lab", name] for name in ("list", "run")),
            ["serve"],
            ["completion"],
            *(["config", name] for name in ("example", "check", "show")),
            *(["domain", name] for name in ("add", "list", "remove", "quota")),
            *(["user", name] for name in ("add", "list", "remove", "password", "disable", "enable", "quota")),
            *(["alias", name] for name in ("set", "add", "remove", "list")),
            *(["route", name] for name in ("set", "list", "remove", "explain")),
            *(["queue", name] for name in ("list", "show", "summary", "retry", "hold", "release", "drop", "forecast")),
            ["trace"],
            ["status"],
            ["verify"],
            ["upgrade"],
        ):
            self.assertIn("Usage: emailsys " + " ".join(words), self.fine(*words, "--help"))

    def test_help_of_a_group_tells_what_each_command_does_in_whole_sentences(self) -> None:
        """The help of a command has only its own examples."""
        for group in ("domain", "user", "alias", "route", "queue", "config", "certs", "mail account", "mail folder"):
            out = self.fine(*group.split(), "--help")
            self.assertNotIn("...\n", out.partition("\nCommands:\n")[2].partition("Examples:")[0], group)
        out = self.fine("queue", "hold", "--help")
        self.assertIn("emailsys queue hold --sender", out)
        self.assertNotIn("emailsys queue drop", out)

    def test_help_is_fast_because_it_imports_no_network_and_no_database(self) -> None:
        """Users call the help often."""
        code = (
            "import sys; from emailsys.cli.main import run; run(['--help'])\n"
            "slow = {'twisted', 'sqlalchemy', 'rich', 'cryptography', 'OpenSSL', 'alembic', 'psycopg'}\n"
            "print(sorted(slow & {name.partition('.')[0] for name in sys.modules}))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertTrue(ended.stdout.endswith("[]\n"), ended.stdout[-200:])

    def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(self) -> None:
        """Status 64."""
        self.assertIn("Did you mean 'user'?", self.refused(Exit.USAGE, "usr"))
        self.assertIn("Commands: mail, try, lab, catch, serve", self.refused(Exit.USAGE, "zzz"))
        self.refused(Exit.USAGE, "--nonsense")
        self.refused(Exit.USAGE, "user", "nonsense")

    def test_an_option_before_its_command_is_told_where_it_belongs(self) -> None:
        """`emailsys --state DIR queue list`, as many programs take it."""
        err = self.refused(Exit.USAGE, "--state", "x", "queue", "list")
        self.assertIn(
            "No such option '--state'. Write the options of a command behind it: emailsys COMMAND --state", err
        )

    def test_an_option_without_its_value_shows_the_usage_of_its_command(self) -> None:
        for words in (("status", "--timeout"), ("route", "set", "--port"), ("mail", "account", "add", "--imap")):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                self.assertEqual(run(words), Exit.USAGE)
            names = " ".join(word for word in words if not word.startswith("-"))
            self.assertTrue(said.getvalue().startswith(f"Usage: emailsys {names} "), said.getvalue())

    def test_the_process_ends_with_the_status_and_all_that_was_printed(self) -> None:
        """`main` ends the process immediately."""
        for words, status, said in ((["--version"], 0, "0."), (["nonsense"], 64, "No such command 'nonsense'")):
            call = f"from emailsys.cli.main import main; main({words!r})"
            ended = subprocess.run(
                [sys.executable, "-c", call], capture_output=True, text=True, check=False, cwd=CHECKOUT
            )
            self.assertEqual(ended.returncode, status, ended.stderr)
            self.assertIn(said, ended.stdout + ended.stderr)

    def test_the_module_is_the_program_too(self) -> None:
        """`python -m emailsys` is for users without the script in the search path."""
        ended = subprocess.run(
            [sys.executable, "-m", "emailsys", "--version"], capture_output=True, text=True, check=True, cwd=CHECKOUT
        )
        self.assertRegex(ended.stdout, r"^emailsys, version \d")

    def test_a_defect_is_one_line_with_status_70(self) -> None:
        """A traceback is printed only on request."""

        def broken(*arguments: object, **options: object) -> None:
            raise ZeroDivisionError("deep inside")

        self.patch(sys.modules["emailsys.cli.main"].program, "main", broken)
        err = self.refused(Exit.SOFTWARE, "user", "list")
        self.assertEqual(err.count("\n"), 1)
        os.environ["EMAILSYS_TRACEBACK"] = "1"
        with self.assertRaises(ZeroDivisionError):
            self.run_it("user", "list")

    def test_completion_scripts_are_those_of_the_three_shells(self) -> None:
        """Other shells are refused."""
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("_EMAILSYS_COMPLETE", self.fine("completion", shell))
        self.refused(Exit.USAGE, "completion", "tcsh")


class AccountTests(CLICase):
    """Domains and users, directly on the store."""

    def test_domains_are_added_listed_and_removed(self) -> None:
        """With postmaster and abuse."""
        self.fine("init")
        self.assertIn("no domains yet", self.run_it("domain", "list")[2])
        self.add_domain()
        listed = "name\tpostmaster\tusers\toctets\tquota\tused\nexample.test\tann@example.test\t0\t0\t-\t-\n"
        self.assertEqual(self.fine("domain", "list"), listed)
        self.assertEqual(
            json.loads(self.fine("domain", "list", "--json")),
            [
                {
                    "name": "example.test",
                    "postmaster": "ann@example.test",
                    "users": 0,
                    "octets": 0,
                    "quota": None,
                    "used": None,
                }
            ],
        )
        self.assertIn(
            "exist", self.refused(Exit.DATA, "domain", "add", "example.test", "--postmaster", "a@example.test")
        )
        self.fine("domain", "remove", "example.test")
        self.refused(Exit.DATA, "domain", "remove", "example.test")
        self.assertEqual(json.loads(self.fine("domain", "list", "--json")), [])

    def test_a_domain_needs_someone_who_reads_its_postmasters_mail(self) -> None:
        """RFC 5321 §4.5.1. On a terminal, the user is asked; otherwise, the error names the option."""
        err = self.refused(Exit.USAGE, "domain", "add", "example.test")
        self.assertIn("--postmaster ADDRESS", err)
        self.fine("domain", "add", "example.test", typed="nobody\nann@example.test\n")
        self.assertIn("ann@example.test", self.fine("domain", "list"))

    def test_a_question_is_asked_only_where_its_answer_can_be_used(self) -> None:
        """A mistyped domain is an error before the prompts for a postmaster or a password."""
        err = self.refused(Exit.USAGE, "domain", "add", "exa mple", typed="alice@example.org\n")
        self.assertIn("'exa mple' is not a domain name", err)
        err = self.refused(Exit.USAGE, "domain", "add", "127.0.0.1", "--postmaster", "ann@127.0.0.1")
        self.assertIn("'127.0.0.1' is not a domain name; examples: example.org", err)
        self.fine("init")
        err = self.refused(Exit.DATA, "user", "add", "alice@exmple.org", typed="")
        self.assertIn("there is no domain exmple.org", err)

    def test_a_command_says_which_store_it_used_if_another_could_be_meant(self) -> None:
        """$EMAILSYS_STATE names one, and there is also a default one. The command line says enough itself."""
        os.environ["XDG_STATE_HOME"] = str(self.state / "home")
        self.patch(os, "geteuid", lambda: 4711)
        line = f"emailsys: store in {self.state} ($EMAILSYS_STATE)\n"
        self.assertNotIn("emailsys: store in", self.run_it("domain", "list")[2])
        default = self.state / "home" / "emailsys"
        default.mkdir(parents=True)
        (default / DATABASE_NAME).touch()
        self.assertIn(line, self.run_it("domain", "list")[2])
        self.assertNotIn("emailsys: store in", self.run_it("user", "list", "--state", str(self.state))[2])
        del os.environ["EMAILSYS_STATE"]
        self.assertNotIn("emailsys: store in", self.run_it("user", "list")[2])

    def test_the_store_of_the_daemon_that_runs_is_reported(self) -> None:
        """The store in the daemon's answer counts, not the configuration that the command finds."""
        self.patch(
            administer, "ask", lambda folder, request: {"result": [], "store": "postgresql://mail@db.example/mail"}
        )
        self.assertNotIn("emailsys: store", self.run_it("user", "list")[2])
        self.state.mkdir()
        (self.state / DATABASE_NAME).touch()
        said = self.run_it("user", "list")[2]
        self.assertIn("emailsys: store postgresql://mail@db.example/mail, state folder ", said)

    def test_the_state_folder_is_made_for_its_owner_alone(self) -> None:
        """The command that creates the store creates the folder, too."""
        self.add_domain()
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)

    def test_a_malformed_address_is_refused_before_the_store_is_opened(self) -> None:
        """Status 64, with the reason."""
        self.assertIn("is no mail address", self.refused(Exit.USAGE, "user", "remove", "ann"))
        self.assertFalse(self.state.exists())

    def test_a_table_is_for_people_and_has_no_control_octets_in_it(self) -> None:
        """On a terminal the columns are aligned."""
        self.add_domain()

        class Screen(io.StringIO):
            def isatty(self) -> bool:
                return True

        screen = Screen()
        os.environ["TERM"] = "dumb"
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(run(["domain", "list"]), 0)
        self.assertRegex(screen.getvalue(), r"name +postmaster +users")
        self.assertRegex(screen.getvalue(), r"example\.test +ann@example\.test +0")

    def test_on_a_narrow_screen_nothing_of_a_table_is_cut_off(self) -> None:
        """Each value gets its own line, so that a queue id is complete."""
        self.add_domain()

        class Screen(io.StringIO):
            def isatty(self) -> bool:
                return True

        long = f"{'d' * 60}.test"
        self.fine("domain", "add", long, "--postmaster", f"ann@{long}")
        # A dumb terminal has 80 columns.
        os.environ["TERM"] = "dumb"
        screen = Screen()
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(run(["domain", "list"]), 0)
        self.assertIn(f"\nname        {long}\npostmaster  ann@{long}\nusers       0\n", screen.getvalue())

    def test_a_store_that_cannot_be_opened_is_one_line(self) -> None:
        """The status is 69, and the file is not changed."""
        self.state.mkdir(mode=0o700)
        (self.state / "mail.sqlite").write_text("this is no database, and long enough to be looked at" * 20)
        err = self.refused(Exit.UNAVAILABLE, "user", "list")
        self.assertIn("not a database", err)
        self.assertIn("no database", (self.state / "mail.sqlite").read_text())

    def test_a_daemon_that_holds_the_folder_and_does_not_answer_is_not_gone_behind(self) -> None:
        """The command does not open the store."""
        self.state.mkdir(mode=0o700)
        lock = FolderLock.take(self.state)
        self.addCleanup(lock.release)
        self.patch(__import__("emailsys.cli.administer").cli.administer, "START_PATIENCE", 0.0)
        err = self.refused(Exit.UNAVAILABLE, "user", "list")
        self.assertIn(f"process {os.getpid()}", err)
        self.assertFalse((self.state / "mail.sqlite").exists())
