"""The commands for accounts, and passwords at prompts."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from emailsys.passwords import verify_password
from tests.unit.cli.cli_case import CLICase

UNBOUNDED = {"quota": None, "used": None}
CHECKOUT = Path(__file__).resolve().parents[3]


class PasswordTests(CLICase):
    """Accounts and their passwords."""

    def test_a_password_comes_from_standard_input(self) -> None:
        """The first line is the password."""
        self.add_domain()
        self.fine("user", "add", "ann@example.test", "--password-stdin", typed=b"correct horse battery\r\nmore\n")
        self.assertEqual(
            json.loads(self.fine("user", "list", "example.test", "--json")),
            [
                {
                    "address": "ann@example.test",
                    "enabled": True,
                    "messages": 0,
                    "octets": 0,
                    "quota": None,
                    "used": None,
                    "forward": [],
                    "keeps_copy": True,
                }
            ],
        )

    def test_a_password_comes_from_a_command(self) -> None:
        """The first line of the output is the password. If the command fails, no account is added."""
        self.add_domain()
        self.fine("user", "add", "ann@example.test", "--password-command", "echo correct horse battery; echo more")
        err = self.refused(Exit.UNAVAILABLE, "user", "add", "bob@example.test", "--password-command", "exit 3")
        self.assertIn("status 3", err)
        self.assertEqual(len(json.loads(self.fine("user", "list", "--json"))), 1)

    def test_a_password_is_never_an_argument(self) -> None:
        """Other users would see it in the list of processes."""
        self.add_domain()
        self.refused(Exit.USAGE, "user", "add", "ann@example.test", "secret")
        self.refused(Exit.USAGE, "user", "add", "ann@example.test", "--password", "secret")
        err = self.refused(Exit.USAGE, "user", "add", "ann@example.test")
        self.assertIn("--password-stdin", err)
        self.refused(
            Exit.USAGE,
            "user",
            "add",
            "ann@example.test",
            "--password-stdin",
            "--password-command",
            "echo",
            typed=b"x\n",
        )

    def test_a_password_that_can_be_guessed_is_refused_with_the_reason(self) -> None:
        """By `user add` and `user password` alike."""
        self.add_domain()
        self.fine("user", "add", "ann@example.test", "--password-stdin", typed=b"correct horse battery\n")
        for typed, expected in (
            (b"short\n", "the password has 5 characters; at least 10 are required"),
            (b"password123\n", "a very common password"),
            (b"ann@example.test\n", "the account's own name"),
            (b"\n", "empty"),
            (b"a\0bcdefghijklmnop\n", "control"),
            (b"\xff\n", "UTF-8"),
        ):
            err = self.refused(Exit.DATA, "user", "add", "bob@example.test", "--password-stdin", typed=typed)
            self.assertIn(expected, err)
            err = self.refused(Exit.DATA, "user", "password", "ann@example.test", "--password-stdin", typed=typed)
            self.assertIn(expected, err)
        self.assertEqual(len(json.loads(self.fine("user", "list", "--json"))), 1)
        err = self.refused(Exit.DATA, "user", "add", "bob@example.test", "--password-stdin", typed=b"x" * 2000)
        self.assertIn("longer than", err)

    def test_the_length_of_a_password_is_configured_and_0_accepts_any(self) -> None:
        """A closed test system may use "test"."""
        self.add_domain()
        file = self.state / "emailsys.toml"
        file.write_text('hostname = "mx.example.test"\n[login]\nmin_password_length = 22\n')
        ann = ("user", "add", "ann@example.test", "--password-stdin")
        self.assertIn("at least 22", self.refused(Exit.DATA, *ann, typed=b"correct horse battery\n"))
        file.write_text('hostname = "mx.example.test"\n[login]\nmin_password_length = 0\n')
        self.fine(*ann, typed=b"test\n")

    def test_the_mail_of_an_account_is_forwarded(self) -> None:
        """`route explain` and `user list` show it."""
        self.add_domain()
        for name in ("ann", "bob"):
            self.fine("user", "add", f"{name}@example.test", "--password-stdin", typed=b"correct horse battery\n")
        forward = ("user", "forward", "ann@example.test")
        away = "ann@elsewhere.example"
        self.assertIn(f"forwarded to {away}, with a copy", self.run_it(*forward, away)[2])
        self.assertIn(f"ann@example.test\tyes\t0\t0\t-\t-\t{away}\n", self.fine("user", "list"))
        done = json.loads(self.fine(*forward, away, "bob@example.test", "--no-copy", "--json"))
        self.assertEqual(done["forward"], [away, "bob@example.test"])
        self.assertIn(f"\t{away}, bob@example.test (no copy)\n", self.fine("user", "list"))
        explained = self.fine("route", "explain", "ann@example.test")
        self.assertIn(f"ann@example.test forwards its mail, and keeps no copy, to {away}, bob@example.test", explained)
        self.assertIn("neither an account nor an alias", self.refused(Exit.DATA, *forward, "no@example.test"))
        self.assertIn("cannot forward to itself", self.refused(Exit.DATA, *forward, "ann@example.test"))
        for words in ((), (away, "--none"), ("--none", "--no-copy")):
            self.refused(Exit.USAGE, *forward, *words)
        self.assertIn("forwarded no more", self.run_it(*forward, "--none")[2])
        self.assertIn("ann@example.test\tyes\t0\t0\t-\t-\t-\n", self.fine("user", "list"))

    def test_a_user_is_disabled_enabled_given_a_password_and_removed(self) -> None:
        """The postmaster cannot be removed while the domain has other users."""
        self.add_domain()
        for name in ("ann", "bob"):
            self.fine("user", "add", f"{name}@example.test", "--password-stdin", typed=b"correct horse battery\n")
        self.fine("user", "disable", "bob@example.test")
        self.assertIn("bob@example.test\tno\t0\t0\t-\t-\t-\n", self.fine("user", "list"))
        self.fine("user", "enable", "bob@example.test")
        self.assertIn("bob@example.test\tyes\t0\t0\t-\t-\t-\n", self.fine("user", "list"))
        self.fine("user", "password", "bob@example.test", "--password-stdin", typed=b"another horse battery\n")
        self.assertIn("postmaster", self.refused(Exit.DATA, "user", "remove", "ann@example.test"))
        self.fine("user", "remove", "bob@example.test", "--purge")
        self.assertNotIn("bob", self.fine("user", "list"))
        self.refused(Exit.DATA, "user", "disable", "carl@example.test")


class PromptTests(SynchronousTestCase):
    """Passwords typed at a terminal: a process with a pseudo terminal."""

    def test_a_password_is_asked_for_twice_and_not_shown(self) -> None:
        """A mistyped password is noticed."""
        code = (
            "from emailsys.cli.password import Source, ask_password\n"
            "from emailsys.mail.address import Address\n"
            "print('GOT', ask_password(Source(False, None), Address('ann', 'example.test')))"
        )
        said, status = _at_terminal(
            [sys.executable, "-c", code],
            {**os.environ, "PYTHONPATH": str(CHECKOUT)},
            ["correct horse", "correct hose", "correct horse", "correct horse"],
        )
        self.assertEqual(status, 0, said)
        self.assertIn("GOT correct horse", said)
        self.assertEqual(said.count("correct ho"), 1, said)


def _at_terminal(command: list[str], environ: dict[str, str], answers: list[str]) -> tuple[str, int]:
    """Run a command at a pseudo terminal, and type an answer after each prompt. Return its output and exit status."""
    if sys.platform == "win32":
        raise SkipTest("needs Unix")
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environ)
    said = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            said += chunk
            if answers and said.rstrip(b" ").endswith(b":"):
                os.write(terminal, answers.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return said.decode(), os.waitstatus_to_exitcode(status)


class StoredSecretTests(CLICase):
    """The stored form of a password."""

    def test_only_a_hash_is_kept(self) -> None:
        """The stored hash is that of the given password."""
        from emailsys.cli.password import credentials_of

        ((scheme, secret),) = credentials_of("correct horse battery")
        self.assertEqual(scheme, "argon2id")
        self.assertTrue(verify_password(secret, "correct horse battery"))
        self.assertNotIn("horse", secret)
