"""Ask the person at the terminal for a password or token."""

from __future__ import annotations

import sys
from typing import Any

import click


async def ask_secret(text: str) -> Any:
    """What was typed, unseen. None where nobody is there to be asked.

    The reactor stands still meanwhile: a command has nothing else to do.
    """
    if not sys.stdin.isatty():
        from emailsys.client.accounts.values import AccountError

        raise AccountError(
            "there is no terminal to ask at; keep the password in the keyring, or name a command that prints it: "
            "emailsys mail account add ... --password-command CMD"
        )
    return click.prompt(text.rstrip(": "), hide_input=True, err=True)
