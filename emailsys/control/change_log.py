"""Log of changes: an event for each request of an operator that changed something."""

from __future__ import annotations

import json
from typing import Final

from emailsys.control.daemon_requests import Reload
from emailsys.control.directory_requests import DirectoryChange
from emailsys.control.request_reading import read_request
from emailsys.control.requests import Request, UserMaySendAs, forms_of
from emailsys.interfaces.operators import Actor
from emailsys.telemetry import Telemetry

# The last words of commands that only read.
_READING: Final = frozenset(
    {"list", "summary", "explain", "trace", "verify", "status", "login", "get", "watch", "read"}
)
# Rows of credentials. They are counted instead.
_ROWS: Final = "rows"
# Characters of what was changed. A change of the queue may name a thousand messages.
_SHOWN: Final = 500


def changes(request: Request) -> bool:
    """Whether a request changes something."""
    if isinstance(request, UserMaySendAs):
        return bool(request.senders)
    if isinstance(request, Reload):
        return not request.check
    return request.command.rpartition(".")[2] not in _READING


def log_change(telemetry: Telemetry, actor: Actor | None, request: Request) -> None:
    """Log a request that was carried out, if it changed something. Passwords and digests are left out."""
    if actor is None or not changes(request):
        return
    if isinstance(request, DirectoryChange):
        for each in request.changes:
            log_change(telemetry, actor, read_request(each))
        return
    given = request.as_json()
    shown = {
        name: len(given[name]) if name == _ROWS else given[name]
        for name, form in forms_of(type(request)).items()
        if not form.is_secret and given[name] not in (None, "", [])
    }
    text = json.dumps(shown, ensure_ascii=False)
    what = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    telemetry.event("operator-change", by=actor.name, ip=actor.ip, command=request.command, what=what)
