"""Find the configuration in force: that of the daemon that runs on the state folder, else the one looked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from emailsys.cli.options import Places
from emailsys.ops.control import ControlFailed, NoDaemon, ask
from emailsys.ops.requests import Status

# Seconds: who waits for a status does not want to wait for long.
_PATIENCE = 10.0


def running(where: Places) -> dict[str, Any] | None:
    """What the daemon of the state folder tells of itself; None where none runs or answers."""
    try:
        answer = ask(where.folder, Status(), _PATIENCE)
    except (NoDaemon, ControlFailed):
        return None
    result: dict[str, Any] | None = answer.get("result")
    return result


def in_force(where: Places) -> tuple[Places, str]:
    """The places with the configuration in force, and in words whose it is.

    A daemon may have been given a file that nobody would look for; one that is named here comes first all the same.
    """
    status = None if where.is_named else running(where)
    if status is None:
        return where, str(where.config or "the embedded default, as no configuration was found and no daemon runs")
    config = status["config"]
    found = replace(where, config=None if config is None else Path(config))
    whose = f"the configuration of the daemon that runs, process {status['pid']}"
    return found, f"{config or 'the embedded default'}, {whose}"
