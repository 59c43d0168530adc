"""Accounts: the editable file, sources of passwords, and discovery of servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from unittest import skipUnless

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.file import AccountsFile
from emailsys.client.accounts.secrets import Secrets, first_line, unlock
from emailsys.client.accounts.values import (
    Account,
    AccountError,
    Auth,
    Keep,
    KeepKind,
    SecretKind,
    SecretSource,
    Security,
    Server,
)
from emailsys.client.base.process_lock import ProcessLock
from emailsys.mail.address import parse

T = TypeVar("T")
ALICE = parse("alice@example.org")
POP3 = Server("pop.example.org", 995, username="alice@example.org")
SMTP = Server("smtp.example.org", 587, Security.STARTTLS, "alice@example.org")
WORK = Account("work", ALICE, "Alice", POP3, SMTP)


def at_once(function: Callable[[], T]) -> Deferred[T]:
    """Run the call at once instead of in a thread."""
    return execute(function)


@skipUnless(os.name == "posix", "modes are of POSIX")
class FileTests(SynchronousTestCase):
    """mail.toml."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "emailsys" / "mail.toml"
        self.file = AccountsFile(self.path)

    def write(self, text: str, mode: int = 0o600) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)
        self.path.chmod(mode)

    def problem(self, text: str) -> str:
        self.write(text)
        return str(self.assertRaises(AccountError, self.file.load))

    def test_without_a_file_there_is_no_account(self) -> None:
        self.assertEqual((dict(self.file.load()), self.file.default()), ({}, None))

    def test_stored_entries_are_read_back_unchanged(self) -> None:
        odd = Account(
            "a@b+c",
            parse('"od\\"d"@example.org'),
            'Q "x" \\ \u00fc',
            replace(POP3, port=1995, auth=Auth.TOKEN, secret=SecretSource(SecretKind.COMMAND, ("pass", 'a "b"'))),
            replace(SMTP, auth=Auth.NONE, ca_file=Path("/etc/ca.pem"), fingerprint="ab" * 32),
            Keep(KeepKind.DAYS, 14),
            5 * 1024 * 1024,
            copy_to_sent=False,
            signature='Alice "A" \\ Ä\n\nCompany',
            aliases=(parse("info@example.org"), parse('"a b"@example.org')),
        )
        self.file.put(WORK)
        self.file.put(odd, default=True)
        self.assertEqual(list(self.file.load().values()), [WORK, odd])
        self.assertEqual(self.file.default(), odd)

    def test_the_file_is_for_its_owner_alone(self) -> None:
        self.file.put(WORK)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("password", self.path.read_text())

    def test_true_signs_and_is_no_way_to_encrypt(self) -> None:
        """`encrypt = true` could also mean "when-possible", so the values are named."""
        begin = "[accounts.home]\naddress = 'h@example.org'\n"
        self.write(f"{begin}sign = true\n")
        self.assertTrue(self.file.load()["home"].sign)
        self.write(f"{begin}sign = false\n")
        self.assertFalse(self.file.load()["home"].sign)
        self.assertIn('"when-possible" or "always"', self.problem(f"{begin}encrypt = true\n"))

    def test_comments_around_an_account_are_preserved(self) -> None:
        self.file.put(WORK)
        self.write(
            f"# mine\n\n{self.path.read_text()}\n# before home\n[accounts.home]\naddress = 'h@example.org' # h\n"
        )
        self.file.put(replace(WORK, display_name="Other"))
        text = self.path.read_text()
        self.assertTrue(text.startswith("# mine\n"))
        self.assertIn("address = 'h@example.org' # h", text)
        self.assertEqual(text.count("[accounts.work]"), 1)
        self.assertEqual([account.display_name for account in self.file.load().values()], ["Other", ""])

    def test_an_account_is_removed_and_is_no_default_any_more(self) -> None:
        self.file.put(WORK, default=True)
        self.file.put(replace(WORK, name="home"))
        self.file.remove("work")
        self.assertEqual((list(self.file.load()), "work" in self.path.read_text()), (["home"], False))
        self.assertRaises(AccountError, self.file.remove, "work")

    def test_the_default_is_changed_by_name(self) -> None:
        self.file.put(WORK)
        self.file.put(replace(WORK, name="home"))
        self.file.set_default("home")
        self.file.set_default("work")
        self.file.set_default("home")
        default = self.file.default()
        assert default is not None
        self.assertEqual(default.name, "home")
        self.assertEqual(self.path.read_text().count("default"), 1)
        self.assertRaises(AccountError, self.file.set_default, "nobody")

    def test_an_account_is_found_by_name_or_address(self) -> None:
        self.file.put(WORK)
        self.assertEqual(self.file.find("work"), WORK)
        self.assertEqual(self.file.find("ALICE@example.org"), WORK)
        self.file.put(replace(WORK, name="twice"))
        self.assertIn("several", str(self.assertRaises(AccountError, self.file.find, "alice@example.org")))
        self.assertIn("work, twice", str(self.assertRaises(AccountError, self.file.find, "nobody")))

    def test_a_name_that_could_leave_its_folder_is_refused(self) -> None:
        for name in ("", "../x", "a/b", ".hidden", "a b", "x" * 65):
            self.assertRaises(AccountError, self.file.put, replace(WORK, name=name))

    def test_accounts_written_as_inline_tables_are_left_to_their_writer(self) -> None:
        self.write('[accounts]\nwork = { address = "a@example.org" }\n')
        self.assertIn("by hand", str(self.assertRaises(AccountError, self.file.put, WORK)))
        self.assertEqual(self.path.read_text(), '[accounts]\nwork = { address = "a@example.org" }\n')

    def test_each_error_names_its_place_and_what_is_allowed(self) -> None:
        text = """default = "x"\nsize = 1\n[accounts.work]\naddress = "nonsense"
[accounts.home]\naddress = "a@example.org"
keep = "3 weeks"\nmax_size = "big"\nsecret = "hunter2"\nlogin = 1\n[accounts.home.pop3]\nsecurity = "ssl"\nport = 0
auth = "none"\nfingerprint = "12"\n[accounts."b d"]\n[accounts.third]\n"""
        problem = self.problem(text)
        for place in (
            "default", "size", "accounts.work.address", "accounts.home.keep", "accounts.home.max_size",
            "accounts.home.secret", "accounts.home.login", "accounts.home.pop3.security", "accounts.home.pop3.port",
            "accounts.home.pop3.auth", "accounts.home.pop3.fingerprint", "accounts.home.pop3.host", "accounts.b d",
            "accounts.third.address",
        ):  # fmt: skip
            self.assertIn(f"{self.path}: {place}: found", problem)
        self.assertNotIn("hunter2", problem)

    def test_a_file_that_is_not_toml_or_not_text_is_reported(self) -> None:
        self.assertIn("is not TOML", self.problem("[accounts"))
        self.assertIn("tables [accounts.NAME]", self.problem("accounts = 1"))
        self.path.write_bytes(b"\xff")
        self.assertIn("UTF-8", str(self.assertRaises(AccountError, self.file.load)))

    def test_a_password_in_a_file_that_others_read_is_refused(self) -> None:
        text = '[accounts.w]\naddress="a@example.org"\nsecret={value="x"}\n[accounts.w.pop3]\nhost="h.example.org"\n'
        self.write(text, 0o644)
        self.assertIn("chmod 600", str(self.assertRaises(AccountError, self.file.load)))
        self.write(text)
        server = self.file.load()["w"].pop3
        assert server is not None
        self.assertEqual(server.secret.value, "x")
        self.assertNotIn("'x'", repr(server))

    def test_two_programs_do_not_change_the_file_at_once(self) -> None:
        self.file.put(WORK)
        claim = ProcessLock(self.path.with_suffix(".lock"))
        self.assertIn("is changing", str(self.assertRaises(AccountError, self.file.put, WORK)))
        claim.release()


class KeyringInMemory:
    """A keyring that tests can inspect and break."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        if self.broken is not None:
            raise self.broken
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.broken is not None:
            raise self.broken
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class OfTheSystem(KeyringInMemory):
    """A backend of the package keyring itself."""

    __module__ = "keyring.backends.SecretService"


class UnlockingTests(SynchronousTestCase):
    """Keyrings that prompt on the terminal do so before the full screen starts."""

    def test_a_keyring_of_others_is_asked_once_and_must_answer(self) -> None:
        asked: list[str] = []

        class Encrypted(KeyringInMemory):
            def get_password(self, service: str, username: str) -> str | None:
                asked.append(username)
                return super().get_password(service, username)

        keyring = Encrypted()
        unlock([WORK, WORK], lambda: keyring)
        self.assertEqual(asked, ["alice@example.org@pop.example.org"])
        keyring.broken = ValueError("Incorrect Password")
        self.assertIn("Incorrect Password", str(self.assertRaises(AccountError, unlock, [WORK], lambda: keyring)))

    def test_a_system_keyring_and_an_unneeded_one_are_not_unlocked(self) -> None:
        keyring = OfTheSystem()
        keyring.broken = ValueError("asked")
        unlock([WORK], lambda: keyring)
        other = KeyringInMemory()
        other.broken = keyring.broken
        asked = SecretSource(SecretKind.PROMPT)
        unlock([replace(WORK, pop3=replace(POP3, secret=asked), smtp=None)], lambda: other)

        def none() -> KeyringInMemory:
            raise AccountError("this system has no keyring")

        unlock([WORK], none)


class SecretTests(SynchronousTestCase):
    """Passwords."""

    def setUp(self) -> None:
        self.keyring = KeyringInMemory()
        self.asked: list[str] = []
        self.typed = "typed"
        self.secrets = Secrets(at_once, self.prompt, lambda: self.keyring)

    async def prompt(self, text: str) -> str:
        self.asked.append(text)
        if not self.typed:
            raise EOFError
        return self.typed

    def get(self, server: Server = POP3, secrets: Secrets | None = None) -> str:
        return self.successResultOf(Deferred.fromCoroutine((secrets or self.secrets).get(WORK, server)))

    def refusal(self, server: Server = POP3, secrets: Secrets | None = None) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine((secrets or self.secrets).get(WORK, server)))
        failure.trap(AccountError)
        return str(failure.value)

    def test_the_keyring_is_asked_first_and_a_person_is_not(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.secrets.keep(WORK, POP3, "kept")))
        fresh = Secrets(at_once, self.prompt, lambda: self.keyring)
        self.assertEqual((self.get(secrets=fresh), self.asked), ("kept", []))
        self.successResultOf(Deferred.fromCoroutine(self.secrets.forget(POP3)))
        self.successResultOf(Deferred.fromCoroutine(self.secrets.forget(POP3)))
        self.assertEqual(self.keyring.kept, {})

    def test_a_person_is_asked_once(self) -> None:
        self.assertEqual((self.get(), self.get()), ("typed", "typed"))
        self.assertEqual(self.asked, ["Password for alice@example.org at pop.example.org: "])

    def test_a_refused_password_is_asked_for_again_and_not_taken_from_the_keyring(self) -> None:
        self.keyring.kept["emailsys", "alice@example.org@pop.example.org"] = "old"
        self.assertEqual(self.get(), "old")
        self.secrets.refused(POP3)
        self.assertEqual(self.get(), "typed")

    def test_without_a_prompt_the_error_says_why(self) -> None:
        silent = Secrets(at_once, None, lambda: self.keyring)
        self.assertIn("the keyring has none", self.refusal(secrets=silent))
        self.keyring.broken = RuntimeError("locked")
        self.assertIn("locked", self.refusal(secrets=silent))
        self.assertIn(
            "the user cannot be asked", self.refusal(replace(POP3, secret=SecretSource(SecretKind.PROMPT)), silent)
        )
        self.typed = ""
        self.assertIn("no password was typed", self.refusal())

    def test_a_broken_keyring_keeps_nothing_and_says_so(self) -> None:
        self.keyring.broken = RuntimeError("locked")
        failure = self.failureResultOf(Deferred.fromCoroutine(self.secrets.keep(WORK, POP3, "x")))
        self.assertIn("locked", str(failure.value))

    def test_a_command_prints_the_secret_each_time(self) -> None:
        command = (sys.executable, "-c", "print('from the command\\nmore')")
        server = replace(POP3, secret=SecretSource(SecretKind.COMMAND, command))
        self.assertEqual(self.get(server), "from the command")

    def test_a_command_that_fails_is_told_without_its_arguments(self) -> None:
        for words, said in (
            ((sys.executable, "-c", "raise SystemExit(3)"), "exit status 3"),
            ((sys.executable, "-c", ""), "printed no password"),
            ((sys.executable, "-c", "import os; os.write(1, b'\\xff')"), "printed no password"),
            (("/nonexistent/command", "secret-argument"), "cannot be run"),
        ):
            problem = str(self.assertRaises(AccountError, first_line, words))
            self.assertIn(said, problem)
            self.assertNotIn("secret-argument", problem)

    def test_a_secret_in_the_file_and_no_login_need_no_prompt(self) -> None:
        self.assertEqual(self.get(replace(POP3, secret=SecretSource(SecretKind.FILE, value="v"))), "v")
        self.assertEqual(self.get(replace(SMTP, auth=Auth.NONE)), "")
        self.secrets.remember(SMTP, "held")
        self.assertEqual((self.get(SMTP), self.asked), ("held", []))
