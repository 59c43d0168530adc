"""Password input: from a prompt, from standard input or from a command, never from an argument."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from emailsys.cli.options import Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address

# Characters. Longer input is probably a wrong file; argon2 has no such limit.
MAX_LENGTH: Final = 1024
# Seconds; a command that asks a person to unlock a key store is slow.
COMMAND_TIMEOUT: Final = 120


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a password; a prompt if both are unset."""

    stdin: bool
    command: str | None

    @property
    def asks(self) -> bool:
        """Whether the user is asked for the password."""
        return not self.stdin and self.command is None and sys.stdin.isatty()


def password_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --password-stdin and --password-command to a command, which gets the Source as `source`."""

    @click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
    @click.option(
        "--password-command", metavar="CMD", help="Run CMD in a shell; the first line of its output is the password."
    )
    @wraps(function)
    def command(*arguments: Any, password_stdin: bool, password_command: str | None, **options: Any) -> Any:
        if password_stdin and password_command is not None:
            raise click.UsageError("Use either --password-stdin or --password-command, not both.")
        return function(*arguments, source=Source(password_stdin, password_command), **options)

    return command


def ask_password(source: Source, address: Address) -> str:
    """Read the password.

    @raise Refused: there is no password, or it is too long.
    """
    if source.stdin:
        password = _first_line(sys.stdin.buffer.readline(), "standard input")
    elif source.command is not None:
        password = _first_line(_output_of(source.command), "the password command")
    elif source.asks:
        password = click.prompt(
            f"Password for {address}", hide_input=True, confirmation_prompt="Repeat the password", err=True
        )
    else:
        raise Refused(
            "there is no terminal to ask for the password; use --password-stdin or --password-command CMD", Exit.USAGE
        )
    if len(password) > MAX_LENGTH:
        raise Refused(f"the password is longer than {MAX_LENGTH} characters")
    return password


def min_password_length(where: Places) -> int:
    """Return `login.min_password_length` of the configuration in force."""
    from emailsys.cli.active_config import in_force

    return in_force(where)[0].settings().login.min_password_length


def new_credentials(address: Address, password: str, min_length: int) -> list[tuple[str, str]]:
    """Return what is stored for the new password of an account: pairs of scheme and secret.

    @raise Refused: the password can be guessed soon, or the text cannot be a password.
    """
    from emailsys.passwords import PasswordError, check_new_password

    if len(password) > MAX_LENGTH:
        raise Refused(f"the password is longer than {MAX_LENGTH} characters")
    try:
        check_new_password(password, [str(address)], min_length)
    except PasswordError as error:
        raise Refused(str(error)) from None
    return credentials_of(password)


def credentials_of(password: str) -> list[tuple[str, str]]:
    """Return what is stored for a password: pairs of scheme and secret. Hashing takes about 20 ms, on purpose.

    @raise Refused: the text cannot be a password.
    """
    from emailsys.passwords import PasswordError, make_credentials

    try:
        return make_credentials(password)
    except PasswordError as error:
        raise Refused(str(error)) from None


def _first_line(octets: bytes, where: str) -> str:
    try:
        return octets.split(b"\n", 1)[0].removesuffix(b"\r").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"the password from {where} is not UTF-8") from None


def _output_of(command: str) -> bytes:
    try:
        # A shell, because the operator wrote a shell command, as in `pass show mail | head -1`.
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, timeout=COMMAND_TIMEOUT, check=False)  # noqa: S602
    except subprocess.TimeoutExpired:
        raise Refused(f"the password command took longer than {COMMAND_TIMEOUT} seconds", Exit.UNAVAILABLE) from None
    if done.returncode != 0:
        raise Refused(f"the password command ended with status {done.returncode}", Exit.UNAVAILABLE)
    return done.stdout
