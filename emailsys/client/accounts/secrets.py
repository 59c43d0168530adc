"""Passwords and tokens: from the system's keyring, a command, or a person; never written into a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from emailsys.client.accounts.values import Account, Server

#: Asks a person: the text shown, the answer not; None if nobody can be asked.
Prompt = Callable[[str], Awaitable[str]]


class Keyring(Protocol):
    """What is asked of the package keyring, which may be put in its place as it is."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


class Secrets:
    """Finds secrets, and keeps those that a person typed for as long as the program runs."""

    def __init__(self, prompt: Prompt | None = None, keyring: Keyring | None = None) -> None:
        """@param keyring: None for the system's, imported when first asked for."""

    async def get(self, account: Account, server: Server) -> str:
        """The password or token. @raise AccountError: there is none; the message says what to do."""
        ...

    async def keep(self, account: Account, server: Server, secret: str) -> None:
        """Put a password into the keyring. @raise AccountError: there is no keyring."""

    async def forget(self, account: Account, server: Server) -> None:
        """Take it out of the keyring and out of memory; does nothing where it is not."""

    def remember(self, server: Server, secret: str) -> None:
        """Hold a password for as long as the program runs."""

    def refused(self, server: Server) -> None:
        """The server did not take it: ask anew next time."""
