"""The file in which a person's accounts are written: mail.toml, read with plain errors, changed at once or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emailsys.client.accounts.values import Account


class AccountsFile:
    """mail.toml, mode 0600. What a person wrote around the accounts that change stays as it is."""

    def __init__(self, path: Path) -> None:
        """@param path: such as `places.accounts_file()`; it and its folder are made when the first account is."""

    def load(self) -> Mapping[str, Account]:
        """The accounts by name, in the order of the file; none where there is no file.

        @raise AccountError: the file is wrong; the message has a line for each error, naming file, key path, what was
            found and what is allowed.
        """
        ...

    def default(self) -> Account | None:
        """The account that commands use where none is named: the one of the key `default`, else the first."""
        ...

    def find(self, name: str) -> Account:
        """The account of that name, or the only one with that address. @raise AccountError: there is none."""
        ...

    def put(self, account: Account, *, default: bool = False) -> None:
        """Add or replace an account; synced. @raise AccountError: it cannot be written."""

    def remove(self, name: str) -> None:
        """Remove an account; mail and secrets are not touched. @raise AccountError: there is none."""

    def set_default(self, name: str) -> None:
        """Make an account the default. @raise AccountError: there is none."""
