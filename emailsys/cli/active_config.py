"""The configuration in force: that of the running daemon, else the one that the search order finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from emailsys.cli.administer import by_daemon
from emailsys.cli.options import Places, Refused
from emailsys.control.requests import Status

# Seconds to wait for a status.
_TIMEOUT: Final = 10.0


def daemon_status(where: Places, timeout: float = _TIMEOUT) -> dict[str, Any] | None:
    """Return the status of the daemon on the state folder, None if no daemon runs there.

    @param timeout: seconds to wait for the answer.
    @raise Refused: a daemon runs but does not answer, or this user may not talk to it.
    """
    answer = by_daemon(where, Status(), timeout)
    result: dict[str, Any] | None = None if answer is None else answer.get("result")
    return result


def in_force(where: Places) -> tuple[Places, str]:
    """Return the places with the configuration in force, and a description of its origin.

    A daemon may use a file outside the search order. A file that the user names takes precedence over it.
    """
    status: dict[str, Any] | None = None
    otherwise = "the embedded default, as no configuration was found and no daemon runs"
    if not where.is_named:
        try:
            status = daemon_status(where)
        except Refused as error:
            otherwise = f"the embedded default, as no configuration was found and no daemon answered ({error.message})"
    if status is None:
        return where, str(where.config or otherwise)
    config = status["config"]
    found = replace(where, config=None if config is None else Path(config))
    origin = f"the configuration of the running daemon, process {status['pid']}"
    return found, f"{config or 'the embedded default'}, {origin}"
