"""Answers to requests on the control socket: with a store, without one, and when a request makes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from emailsys.control.answers import MALFORMED, MISSING, Answer, error_answer
from emailsys.control.change_log import log_change
from emailsys.control.commands import Commands
from emailsys.control.daemon_requests import MoveHold, Reload, Restart
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import MAKES_FIRST_STORE, Init, Request, Status
from emailsys.daemon.move_hold import Held
from emailsys.daemon.reload import Reloaded
from emailsys.daemon.store_location import StoreLocation
from emailsys.daemon.succession import Outcome
from emailsys.interfaces.operators import Actor
from emailsys.store.schema.identity import had_store
from emailsys.telemetry import Telemetry

#: A request about the process, which needs no store.
ProcessRequest = Reload | Restart | MoveHold


class Operated(Protocol):
    """What an operator's request reaches in the daemon."""

    @property
    def commands(self) -> Commands | None:
        """The commands of the store; None while there is none."""

    def find_store(self, create: bool, adopt: bool) -> str:
        """Serve the store, if there is one now or if one may be created or adopted.

        @return: why there is none; "" if there is one.
        """

    async def carry_out(self, request: ProcessRequest) -> Reloaded | Outcome | Held:
        """Carry out a request about the process."""

    async def check_store(self) -> None:
        """See whether the store can accept mail now, for the status."""

    def status(self) -> Mapping[str, Any]:
        """Return the status of the daemon."""


class ControlAnswers:
    """Answers the requests of operators to a running daemon.

    Without a store, it answers `status`, requests about the process, and requests that make a store.
    """

    def __init__(self, daemon: Operated, state: Path, location: StoreLocation, telemetry: Telemetry) -> None:
        """@param state: the state folder, which tells whether there was a store before."""
        self._daemon = daemon
        self._state = state
        self._location = location
        self._telemetry = telemetry

    async def answer(self, request: object, actor: Actor | None = None) -> Answer:
        """Answer a request.

        @param actor: who made it, for the log of changes.
        """
        try:
            known = request if isinstance(request, Request) else read_request(request)
        except MalformedRequest as error:
            return self._location.added_to(error_answer(MALFORMED, str(error)))
        daemon = self._daemon
        was_missing = daemon.commands is None
        adopt = isinstance(known, Init) and known.adopt
        makes_first = isinstance(known, MAKES_FIRST_STORE) and not had_store(self._state)
        why_missing = daemon.find_store(makes_first or (isinstance(known, Init) and not adopt), adopt)
        if isinstance(known, ProcessRequest):
            done = await daemon.carry_out(known)
            if done.is_done:
                log_change(self._telemetry, actor, known)
            return self._location.added_to({"result": done.as_json()})
        if isinstance(known, Status):
            await daemon.check_store()
        commands = daemon.commands
        if commands is None:
            missing = error_answer(MISSING, why_missing)
            return self._location.added_to({"result": daemon.status()} if isinstance(known, Status) else missing)
        if not isinstance(known, Init):
            return await commands.answer(known, actor)
        if was_missing:
            log_change(self._telemetry, actor, known)
        made = {"made": was_missing and not adopt, "adopted": was_missing and adopt}
        return {"result": {"store": self._location.shown, **made}}
