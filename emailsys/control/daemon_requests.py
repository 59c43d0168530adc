"""Requests about the running daemon itself."""

from __future__ import annotations

from dataclasses import dataclass

from emailsys.control.request_values import Flag, Seconds
from emailsys.control.requests import Request


@dataclass(frozen=True, slots=True)
class Reload(Request):
    """Read the configuration again and apply it, or only check it."""

    command = "reload"
    check: Flag = False


@dataclass(frozen=True, slots=True)
class Restart(Request):
    """Start a new process that takes over, and end this one when that process serves."""

    command = "restart"


@dataclass(frozen=True, slots=True)
class MoveHold(Request):
    """Prepare for the last step of a move, for a number of seconds. With 0, return to normal.

    The daemon starts the process that will take over, up to the moment at which it reads its configuration, and
    delivers nothing. `Restart` lets that process take over.
    """

    command = "move-hold"
    seconds: Seconds = 0.0
