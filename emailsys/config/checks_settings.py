"""Settings of the checks by plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emailsys.config.values import Read, Unfit, a_duration
from emailsys.mail.address import AddressSyntaxError, parse


@dataclass(frozen=True, slots=True)
class ChecksSettings:
    """Plugins that are asked about received mail."""

    # The checks of port 25, and of the ports of users, in the order in which they are asked.
    receive: tuple[str, ...] = ()
    submission: tuple[str, ...] = ()
    # Seconds in which a check must answer at one point of a session. Clients wait five minutes at least
    # (RFC 5321 §4.5.3.2), and several checks may be asked in turn.
    deadline: float = 20.0
    # The address that gets quarantined mail, "" for none.
    quarantine: str = ""


def checks(value: object) -> tuple[str, ...]:
    """Read a list of checks. Whether they can be loaded is known only when the daemon starts."""
    allowed = 'a list of checks, such as ["postfix:inet:127.0.0.1:10023", "plugin:NAME", "plugin:NAME:ARGUMENT"]'
    if not isinstance(value, list):
        raise Unfit(allowed)
    for item in value:
        kind, colon, name = item.partition(":") if isinstance(item, str) else ("", "", "")
        if not (kind and colon and name and name.isprintable()):
            raise Unfit(allowed, item)
    return tuple(value)


def an_address(value: object) -> str:
    """Read a mail address; "" is none."""
    allowed = 'an address of this system, such as "quarantine@example.org", or "" for none'
    if not isinstance(value, str):
        raise Unfit(allowed)
    try:
        return str(parse(value)) if value else ""
    except AddressSyntaxError:
        raise Unfit(allowed) from None


CHECKS: Final[Mapping[str, Read]] = {
    "receive": checks,
    "submission": checks,
    "deadline": a_duration(minimum=0.1, maximum=280),
    "quarantine": an_address,
}
