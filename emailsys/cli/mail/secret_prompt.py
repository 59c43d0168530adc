"""Prompt for a password or token on the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click


async def ask_secret(text: str) -> Any:
    """Ask for a secret without echo. Blocks the reactor, because a command has nothing else to do.

    @raise AccountError: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        from emailsys.client.accounts.values import AccountError

        raise AccountError(
            "there is no terminal to ask for the password. Save it in the keyring, or set a command that prints it: "
            "emailsys mail account add ... --password-command CMD"
        )
    return click.prompt(text.rstrip(": "), hide_input=True, err=True)
