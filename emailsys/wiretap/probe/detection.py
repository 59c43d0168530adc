"""The protocol of a port that is not a well-known one, found by its greeting."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emailsys.wiretap.probe.connection import Connection
from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError
from emailsys.wiretap.probe.target import Protocol, Target

# Seconds. With implicit TLS the client speaks first; a server that is silent for this time waits for it.
_SILENCE: Final = 3.0


def detected(target: Target, deadline: Deadline) -> Target:
    """Returns the target with the protocol that it speaks.

    @raise ProbeError: it speaks neither SMTP nor POP3, or cannot be reached.
    """
    with Connection(replace(target, protocol=Protocol.SMTP), deadline) as connection:
        try:
            return replace(target, protocol=_protocol(connection.reply_within(_SILENCE), False))
        except ProbeError as error:
            if error.failure is not Failure.STALLED:
                raise
    # Before TLS the answer would be the same for POP3.
    with Connection(replace(target, protocol=Protocol.SUBMISSIONS), deadline) as connection:
        connection.secure()
        return replace(target, protocol=_protocol(connection.reply_within(_SILENCE), True))


def _protocol(greeting: str, in_tls: bool) -> Protocol:
    if greeting.startswith("+OK"):
        return Protocol.POP3S if in_tls else Protocol.POP3
    if greeting[:3].isdigit():
        return Protocol.SUBMISSIONS if in_tls else Protocol.SMTP
    raise ProbeError(Failure.MALFORMED, f"The server speaks neither SMTP nor POP3; it began with {greeting[:200]!r}.")
