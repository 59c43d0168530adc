"""Pipes: how a message is given to a command, and what its exit status means (as in Postfix's pipe(8))."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import delivery_prefix
from emailsys.mail.transmission import Transmission

# A route to a command begins with this word; the command follows.
_PIPE: Final = "pipe:"
_MAX_COMMAND: Final = 2000
#: Seconds that a command may take by default. Postfix gives it 1000 (command_time_limit).
TIME_LIMIT: Final = 600.0
#: What the arguments of a command may name. Postfix has the same names.
MACROS: Final = ("sender", "recipient", "mailbox", "domain", "queue_id", "size")
_ADDRESSES: Final = frozenset({"sender", "recipient", "mailbox", "domain"})
_MACRO: Final = re.compile(r"\$\{([^}]*)\}")
# Programs that take an argument for code, and the option before it.
_INTERPRETER: Final = re.compile(r"(?:.*/)?(?:(?:ba|da|z|k|mk|a|fi|c|tc)?sh|su|runuser|python[0-9.]*|perl|ruby)")
_CODE_OPTION: Final = re.compile(r"-[A-Za-z]*[ce]")

# Exit statuses of sysexits.h, with the codes that Postfix gives them, except for those that tell of a mistake of the
# operator or of the command itself: Postfix returns the mail then, here it waits. Codes with 4 are temporary, and 4.3.5
# makes all mail for the command wait.
_SYSEXITS: Final[Mapping[int, tuple[str, str]]] = {
    64: ("4.3.0", "command line usage error"),
    65: ("5.6.0", "data format error"),
    66: ("4.3.0", "cannot open input"),
    67: ("5.1.1", "user unknown"),
    68: ("5.1.2", "host name unknown"),
    69: ("5.3.0", "service unavailable"),
    70: ("4.3.0", "internal software error"),
    71: ("4.3.0", "system resource problem"),
    72: ("4.3.5", "critical system file missing"),
    73: ("4.2.0", "cannot create output file"),
    74: ("4.3.0", "input/output error"),
    75: ("4.3.0", "temporary failure"),
    76: ("5.5.0", "remote error in protocol"),
    77: ("5.7.0", "permission denied"),
    78: ("4.3.5", "local configuration error"),
    # Of a shell: the program cannot be run, or is not there.
    126: ("4.3.5", "a program cannot be run"),
    127: ("4.3.5", "a program was not found"),
}
# The status of a shell whose program was ended by a signal is 128 and the number of the signal, 64 at most.
_SIGNALS: Final = range(129, 193)
# RFC 3463 §2: what a command says about itself counts more than its exit status.
_STATUS: Final = re.compile(r"([45]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)", re.ASCII)
# Characters of the output of a command that a reply quotes.
_MAX_QUOTED: Final = 200


class DashedAddressError(ValueError):
    """An address begins with a hyphen, and the command would take it for an option."""


@dataclass(frozen=True, slots=True)
class Pipe:
    """A command that gets messages on its standard input, one run for each recipient.

    @ivar command: the program, by its absolute path, and its arguments, in the quotes of a shell.
    @ivar user: the user that runs it; "" for the user of the daemon.
    @ivar time_limit: seconds until it is ended.
    """

    command: str
    user: str = ""
    time_limit: float = TIME_LIMIT

    @property
    def program(self) -> str:
        """The absolute path of the program."""
        return shlex.split(self.command)[0]

    def arguments(self, transmission: Transmission, forward_path: Address) -> list[str]:
        """Return the program and its arguments for one recipient.

        @raise DashedAddressError: the command would take an address for an option.
        """
        values = {
            "sender": _shown(transmission.reverse_path),
            "recipient": str(forward_path),
            "mailbox": forward_path.local,
            "domain": forward_path.domain,
            "queue_id": transmission.queue_id,
            "size": str(transmission.octets),
        }
        arguments: list[str] = []
        for written in shlex.split(self.command):
            argument = _MACRO.sub(lambda found: values[found[1]], written)
            # Strangers choose addresses. After "--", no argument is an option.
            if argument.startswith("-") and not written.startswith("-") and "--" not in arguments:
                raise DashedAddressError(argument)
            arguments.append(argument)
        return arguments

    def __str__(self) -> str:
        """The program without its arguments, which may contain a secret."""
        return f"{_PIPE}{self.program}"


def is_pipe(text: str) -> bool:
    """Whether the destination of a route is a command."""
    return text.lower().startswith(_PIPE)


def read_command(text: str) -> str | None:
    """Return the command in the destination of a route, without "pipe:"; None if it is malformed.

    The program is an absolute path, and the arguments have only the macros that exist. The script of `sh -c` names no
    address: strangers choose addresses, and would choose what is run.
    """
    command = text[len(_PIPE) :].strip()
    if len(command) > _MAX_COMMAND or not command.isprintable():
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or not words[0].startswith("/") or "${" in words[0]:
        return None
    macros = {name for word in words for name in _MACRO.findall(word)}
    return command if macros <= set(MACROS) and not _has_macro_in_code(words) else None


def _has_macro_in_code(words: list[str]) -> bool:
    return any(
        not _ADDRESSES.isdisjoint(_MACRO.findall(word))
        and _CODE_OPTION.fullmatch(option)
        and any(_INTERPRETER.fullmatch(before) for before in words[: number + 1])
        for number, (option, word) in enumerate(pairwise(words))
    )


def environment(transmission: Transmission, forward_path: Address) -> dict[str, str]:
    """Return all environment variables of a command."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "SENDER": _shown(transmission.reverse_path),
        "RECIPIENT": str(forward_path),
        "QUEUE_ID": transmission.queue_id,
    }


def prefix(transmission: Transmission, forward_path: Address) -> bytes:
    """Return the fields before the message, with the line ends of Unix."""
    return delivery_prefix(transmission.reverse_path, forward_path).replace(b"\r\n", b"\n")


def _shown(path: Address | None) -> str:
    return "" if path is None else str(path)


def judged(pipe: Pipe, status: int, output: bytes) -> Reply:
    """Return the reply for the exit status of a command; negative for a signal that ended it."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    if status == 0:
        return Reply(250, "2.0.0", _said(pipe, "took the message", lines[-1] if lines else ""))
    if status < 0:
        return Reply(451, "4.3.0", _said(pipe, f"was ended by signal {-status}", lines[-1] if lines else ""))
    found = _STATUS.match(lines[0]) if lines else None
    if found is not None:
        return _reply(found[1], _said(pipe, f"exit status {status}", lines[0][found.end() :]))
    # Other statuses mean what the command wants. Most often it is 1, of a program that failed: a traceback of Python, a
    # file that a script misses.
    enhanced, meaning = _SYSEXITS.get(status, ("4.3.0", _signal(status)))
    words = f"exit status {status}" + (f", {meaning}" if meaning else "")
    # The last line of a traceback tells most.
    return _reply(enhanced, _said(pipe, words, lines[-1] if lines else ""))


def _signal(status: int) -> str:
    return f"ended by signal {status - 128}" if status in _SIGNALS else ""


def _reply(enhanced: str, text: str) -> Reply:
    return Reply(451 if enhanced.startswith("4") else 554, enhanced, text)


def _said(pipe: Pipe, words: str, line: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in line[:_MAX_QUOTED])
    return f"{pipe}: {words}" + (f": {shown}" if shown else "")
