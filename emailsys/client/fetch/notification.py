"""Notification of new mail: a program of the user's, started without a shell, that is told about the mail."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from html import escape
from threading import Thread
from typing import Final

from emailsys.client.accounts.values import Account
from emailsys.client.display.list_text import message_count
from emailsys.client.rules.filing import Arrivals
from emailsys.client.text.terminal import safe_line

# Seconds in which a program that cannot do its work is expected to fail, and after which it is ended.
_FAILS_WITHIN: Final = 0.5
_ENDS_WITHIN: Final = 60.0
_MAX_VALUE: Final = 200


def notify(account: Account, arrivals: Arrivals) -> str | None:
    """Start the program that an account names for new mail. Return a sentence for the user if it fails at once."""
    if account.notify is None or not arrivals.count:
        return None
    sender, subject = (safe_line(one)[:_MAX_VALUE] for one in (arrivals.sender, arrivals.subject))
    command = account.notify.command or _on_desktop(account.name, arrivals.count, sender, subject)
    # What a stranger wrote is in the environment, never in the command: it can be no option and no code.
    told = {
        "EMAILSYS_ACCOUNT": account.name,
        "EMAILSYS_COUNT": str(arrivals.count),
        "EMAILSYS_FROM": sender,
        "EMAILSYS_SUBJECT": subject,
    }
    what = f"The notification of {account.name} failed"
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **told},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"{what}: {command[0]}: {getattr(error, 'strerror', None) or error}"
    try:
        status = process.wait(_FAILS_WITHIN)
    except subprocess.TimeoutExpired:
        Thread(target=_wait, args=(process,), name="notification", daemon=True).start()
        return None
    return f"{what}: {command[0]} ended with exit status {status}" if status else None


def _on_desktop(account: str, count: int, sender: str, subject: str) -> tuple[str, ...]:
    """Return the command of the desktop's notifications. Their text may be markup, their title is plain."""
    title = f"{account}: {message_count(count, 'new ')}"
    return ("notify-send", "--app-name=emailsys", "--", title, escape(f"{sender}: {subject}", quote=False))


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            process.kill()
        process.wait()
