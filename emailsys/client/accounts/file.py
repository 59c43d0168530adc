"""The accounts file mail.toml: validated reading and atomic changes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from emailsys.client.accounts.toml_reader import ACCOUNT_NAME, read_accounts
from emailsys.client.accounts.toml_writer import with_account, with_default, with_spam_rule, without_account
from emailsys.client.accounts.values import Account, AccountError, SecretKind, Server
from emailsys.client.archive.files import changing, rewrite
from emailsys.client.archive.values import SPAM, ArchiveError
from emailsys.mail.address import Address

_MODE = 0o600


class AccountsFile:
    """mail.toml, mode 0600. A change keeps the rest of the file as the user wrote it. Methods block."""

    def __init__(self, path: Path) -> None:
        """@param path: for example `locations.accounts_file()`. The first account creates file and folder."""
        self.path = path

    def load(self) -> Mapping[str, Account]:
        """Read the accounts by name, in the order of the file. Without a file there are none.

        @raise AccountError: the file is invalid. The message has a line for each error: file, key path, the value
            found, and the allowed values.
        """
        return self._read(self._text())[0]

    def default(self) -> Account | None:
        """Return the account that commands use by default: that of the key `default`, or else the first."""
        accounts, default = self._read(self._text())
        if default is not None:
            return accounts[default]
        return next(iter(accounts.values()), None)

    def find(self, name: str) -> Account:
        """Return an account by its name or unique address. @raise AccountError: there is no such account."""
        accounts = self.load()
        if name in accounts:
            return accounts[name]
        found = [account for account in accounts.values() if str(account.address).lower() == name.lower()]
        if len(found) == 1:
            return found[0]
        if found:
            raise AccountError(f"{name} is the address of several accounts: {', '.join(one.name for one in found)}")
        raise AccountError(f"there is no account {name!r}; {_listed(accounts)}")

    def put(self, account: Account, *, default: bool = False) -> None:
        """Add or replace an account, and sync the file. The rules of an account stay as they are written there.

        @raise AccountError: the file cannot be written.
        """
        if not ACCOUNT_NAME.fullmatch(account.name):
            raise AccountError(f"{account.name!r} is not a valid account name: use letters, digits and . _ - @ +")

        account = replace(account, pop3=_absolute(account.pop3), smtp=_absolute(account.smtp))

        def change(text: str) -> str:
            text = with_account(text, account)
            return with_default(text, account.name) if default else text

        before = self.load().get(account.name)
        self._change(change, {account.name: replace(account, rules=before.rules if before is not None else ())})

    def add_spam_rule(self, name: str, sender: Address) -> bool:
        """Add a rule that files messages from an address under Spam. Return False if there is one already.

        @raise AccountError: there is no such account, its rules have an error, or the file cannot be written.
        """
        from emailsys.client.accounts.rule_values import Condition, Place, Rule

        account = self.find(name)
        if account.rule_problems:
            raise AccountError("\n".join(account.rule_problems))
        condition = Condition(Place.FROM, (str(sender),))
        if any(one.conditions == (condition,) and one.folder == SPAM for one in account.rules):
            return False
        rule = Rule(f"rule {len(account.rules) + 1}", (condition,), folder=SPAM)

        def change(text: str) -> str:
            return with_spam_rule(text, name, sender)

        self._change(change, {name: replace(account, rules=(*account.rules, rule))})
        return True

    def remove(self, name: str) -> None:
        """Remove an account, but not its mail and secrets. @raise AccountError: there is no such account."""
        self._change(lambda text: self._without(text, name), {name: None})

    def check_removal(self, name: str) -> None:
        """@raise AccountError: `remove` would fail, for example because this program cannot change the file."""
        self._changed(self._text(), lambda text: self._without(text, name), {name: None})

    def _without(self, text: str, name: str) -> str:
        accounts, default = self._read(text)
        if name not in accounts:
            raise AccountError(f"there is no account {name!r}; {_listed(accounts)}")
        return with_default("".join(without_account(text, name)), None if default == name else default)

    def set_default(self, name: str) -> None:
        """Make an account the default. @raise AccountError: there is no such account."""
        if name not in self.load():
            raise AccountError(f"there is no account {name!r}; {_listed(self.load())}")
        self._change(lambda text: with_default(text, name), {})

    def _text(self) -> str:
        try:
            return self.path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise AccountError(f"{self.path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise AccountError(f"{self.path}: is not UTF-8") from error

    def _read(self, text: str) -> tuple[dict[str, Account], str | None]:
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise AccountError(f"{self.path}: is not TOML: {error}") from error
        accounts, default = read_accounts(document, self.path, text)
        self._refuse_open_secrets(accounts)
        return accounts, default

    def _refuse_open_secrets(self, accounts: Mapping[str, Account]) -> None:
        """@raise AccountError: the file contains a password, and other users may read it."""
        servers = [server for account in accounts.values() for server in (account.pop3, account.smtp) if server]
        if os.name == "nt" or not any(server.secret.kind is SecretKind.FILE for server in servers):
            return
        try:
            mode = self.path.stat().st_mode & 0o777
        except FileNotFoundError:
            return
        if mode & 0o077:
            raise AccountError(f"{self.path}: contains a password, and other users can read it: chmod 600 {self.path}")

    def _reads_as(self, text: str, wanted: Mapping[str, Account]) -> bool:
        try:
            return self._read(text)[0] == wanted
        except AccountError:
            return False

    def _changed(self, before: str, change: Callable[[str], str], expected: Mapping[str, Account | None]) -> str:
        """Return the changed file. @raise AccountError: it would not have the expected accounts."""
        wanted = self._read(before)[0]
        after = change(before)
        for name, account in expected.items():
            if account is None:
                del wanted[name]
            else:
                wanted[name] = account
        if not self._reads_as(after, wanted):
            # For example inline tables, which `toml_writer` cannot change.
            raise AccountError(f"{self.path}: cannot be changed by this program; edit it by hand")
        return after

    def _change(self, change: Callable[[str], str], expected: Mapping[str, Account | None]) -> None:
        try:
            with changing(self.path):
                after = self._changed(self._text(), change, expected)
                rewrite(self.path, after.encode())
        except ArchiveError as error:
            raise AccountError(str(error)) from error


def _absolute(server: Server | None) -> Server | None:
    """Make the CA file's path absolute: the user gives it relative to the working folder, not to mail.toml."""
    if server is None or server.ca_file is None:
        return server
    return replace(server, ca_file=server.ca_file.absolute())


def _listed(accounts: Mapping[str, Account]) -> str:
    return f"accounts: {', '.join(accounts)}" if accounts else "no account exists yet"
