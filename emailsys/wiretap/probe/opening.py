"""The beginning of a dialogue: greeting, extensions, STARTTLS or STLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emailsys.wiretap.probe.connection import Connection
from emailsys.wiretap.probe.limits import Failure, ProbeError

# RFC 5321 §4.1.1.1 has a client without a name give an address. A probe gives this name, which is reserved (RFC 2606).
_OUR_NAME: Final = "probe.invalid"


@dataclass(frozen=True, slots=True)
class Opening:
    """The greeting of a server, and the extensions that it offers.

    @ivar extensions: lines of EHLO or CAPA, without status code.
    """

    greeting: str
    extensions: tuple[str, ...]

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The extensions by name in upper case, each with its parameters in upper case."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self.extensions:
            first, *rest = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
            found[first] = (*found.get(first, ()), *rest)
        return found

    @property
    def has_starttls(self) -> bool:
        """Whether STARTTLS or STLS is offered."""
        return bool({"STARTTLS", "STLS"} & self.words.keys())


def greeted(connection: Connection) -> str:
    """Waits for the greeting.

    @raise ProbeError: it is not the greeting of this protocol.
    """
    is_pop3 = connection.target.protocol.is_pop3
    first = connection.reply()
    if not first.lines[0].startswith("+OK" if is_pop3 else "220"):
        other = "+OK" if not is_pop3 else "220"
        hint = ""
        if first.lines[0].startswith(other):
            hint = f" It speaks {'SMTP' if is_pop3 else 'POP3'}: name it with --protocol."
        refuses = first.lines[0][:1] in ("4", "5") or first.lines[0].startswith("-ERR")
        kind = Failure.REFUSED if refuses else Failure.MALFORMED
        raise ProbeError(kind, f"The server greeted with {first.lines[0][:200]!r}.{hint}")
    return "\n".join(first.lines)


def extensions_of(connection: Connection) -> tuple[str, ...]:
    """Asks for the extensions; () if the server does not know any."""
    if connection.target.protocol.is_pop3:
        return connection.listing() if connection.command("CAPA").is_good else ()
    answer = connection.command(f"EHLO {_OUR_NAME}")
    if answer.is_good:
        return tuple(line[4:] for line in answer.lines[1:])
    if not connection.command(f"HELO {_OUR_NAME}").is_good:
        raise ProbeError(Failure.REFUSED, f"The server refused EHLO and HELO: {str(answer)[:200]!r}.")
    return ()


def ask_for_tls(connection: Connection) -> None:
    """Sends STARTTLS or STLS.

    @raise ProbeError: the server refused it.
    """
    command = "STLS" if connection.target.protocol.is_pop3 else "STARTTLS"
    answer = connection.command(command)
    if not answer.is_good:
        raise ProbeError(Failure.REFUSED, f"The server refused {command}: {str(answer)[:200]!r}.")


def up_to_tls(connection: Connection) -> None:
    """Brings a connection to where the ClientHello is due."""
    if not connection.target.protocol.has_implicit_tls:
        greeted(connection)
        extensions_of(connection)
        ask_for_tls(connection)
