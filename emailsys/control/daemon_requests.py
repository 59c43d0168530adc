"""Requests about the running daemon itself."""

from __future__ import annotations

from dataclasses import dataclass

from emailsys.control.request_values import Flag
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
