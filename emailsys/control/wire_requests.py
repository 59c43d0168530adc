"""Requests for recorded connections: list them, get one, watch them."""

from __future__ import annotations

from dataclasses import dataclass

from emailsys.control.request_values import RowLimit, Text
from emailsys.control.requests import Request


@dataclass(frozen=True, slots=True)
class WireList(Request):
    """List at most `limit` recorded conversations without their events, the newest last."""

    command = "conversation.list"
    limit: RowLimit = 100


@dataclass(frozen=True, slots=True)
class WireGet(Request):
    """Return one recorded conversation with its events; null if there is none of that session."""

    command = "conversation.get"
    session: Text


@dataclass(frozen=True, slots=True)
class WireWatch(Request):
    """Record connections, and send their events as lines of JSON until the connection is closed.

    The answer comes first, then the newest `past` conversations, then `{"watching":true}`, then events as they happen.
    """

    command = "conversation.watch"
    past: RowLimit = 0
