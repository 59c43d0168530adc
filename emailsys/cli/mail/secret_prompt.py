"""Prompt for a password or token on the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import click


async def ask_secret(text: str) -> Any:
    """Ask for a secret without echo. Blocks the reactor, because a command has nothing else to do.

    @raise AccountError: standard input is not a terminal.
    @raise KeyboardInterrupt: the user pressed Ctrl-C or Ctrl-D.
    """
    if not sys.stdin.isatty():
        from emailsys.client.accounts.values import AccountError

        raise AccountError(
            "there is no terminal to ask for the password. Save it in the keyring, or set a command that prints it: "
            "emailsys mail account add ... --password-command CMD"
        )
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread():
        # The reactor's own handler would wait until the prompt returns.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.prompt(text.rstrip(": "), hide_input=True, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
