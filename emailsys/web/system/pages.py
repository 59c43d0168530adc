"""The pages of operators."""

from __future__ import annotations

import json
from typing import Any, Final

from emailsys.control.requests import QueueChangeRows, QueueList, QueueSummary, Status, Trace, Verify
from emailsys.interfaces.operators import QueueChange, RowState, Scope
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.web.api.application import Api
from emailsys.web.api.live import LiveNumbers
from emailsys.web.api.problem import Problem, not_allowed
from emailsys.web.api.server import event_stream
from emailsys.web.base.face import Answer, Call, Face, see_other
from emailsys.web.base.refusal import Refusal
from emailsys.web.base.services import Services
from emailsys.web.system.directory_pages import DirectoryPages
from emailsys.web.system.drawings import span, time_line
from emailsys.web.system.operators import BASE, Operators
from emailsys.web.system.removal_pages import RemovalPages
from emailsys.web.system.route_pages import RoutePages
from emailsys.web.system.table_pages import ROWS, table_page
from emailsys.web.system.wire_page import WirePages

# Rows of a table.
_LOG_ROWS: Final = 500
_DEFAULT_DOWN: Final = 24.0
_MAX_HOURS: Final = 24.0 * 365
# Seconds of one step of a check.
_STEP_SECONDS: Final = 1.0


class SystemPages:
    """Status, queue, forecast, check, trace and log."""

    def __init__(self, api: Api, services: Services, operators: Operators, wire: WirePages) -> None:
        self._api = api
        self._do, self._change = api.administration.do, api.administration.change
        self._foretell = services.foretell
        self._wire = wire
        self._operators = operators
        route = operators.route
        route("", self.status)
        route("/events", self.events)
        route("/queue", self.queue)
        route("/queue", self.change_queue, Scope.SYSTEM_WRITE, ("POST",))
        route("/forecast", self.forecast)
        route("/verify", self.verify)
        route("/verify/step", self.verify_step)
        route("/trace", self.trace)
        route("/log", self.log)

    def _page(self, call: Call, name: str, title: str, **values: Any) -> Answer:
        return call.page(f"system/{name}.html", title=title, here=name, base=BASE, span=span, **values)

    async def status(self, call: Call) -> Answer:
        """Show the running system, with live plots."""
        return self._page(call, "status", "Status", status=await self._do(Status), numbers=LiveNumbers.NAMES)

    async def events(self, call: Call) -> Answer:
        """Stream the live numbers."""
        return event_stream(call, self._api.numbers.stream, self._api)

    async def queue(self, call: Call) -> Answer:
        """Show the queue, and what can be done with it."""
        chosen = {name: call.first(name).strip() for name in ("domain", "sender", "state")}
        problem = ""
        rows: list[Any] = []
        after = call.first("after")
        try:
            at = int(after) if after.isdecimal() and len(after) < 20 else 0
            state = _state(chosen["state"])
            rows = await self._do(
                QueueList, domain=chosen["domain"], sender=chosen["sender"], state=state, limit=ROWS + 1, after=at
            )
        except Problem as error:
            problem = error.detail
        return self._page(
            call,
            "queue",
            "Queue",
            rows=rows[:ROWS],
            following=rows[ROWS - 1]["row"] if len(rows) > ROWS else None,
            chosen=chosen,
            states=[state.value for state in RowState],
            summary=table_page(call, "domains", await self._do(QueueSummary), ("domains", "after", *chosen)),
            done=call.first("done"),
            problem=problem,
            may_change=await self._operators.may(call, Scope.SYSTEM_WRITE),
        )

    async def change_queue(self, call: Call) -> Answer:
        """Retry, hold, release or drop the chosen messages."""
        change, ids = call.form.get("change"), list(call.form.fields.get("queue_id", ()))
        if change not in {one.value for one in QueueChange} or not ids:
            return see_other(f"{BASE}/queue?done=none")
        if change == QueueChange.DROP.value and not call.form.get("sure"):
            raise Refusal(
                400, "Nothing was dropped", "Dropping needs the confirmation: tick the box beside the button."
            )
        try:
            actor = await self._operators.actor(call)
            changed = await self._change(actor, QueueChangeRows, queue_ids=tuple(ids), change=QueueChange(change))
        except Problem as error:
            raise Refusal(error.status, error.title, error.detail) from None
        return see_other(f"{BASE}/queue?done={int(changed['changed'])}")

    async def forecast(self, call: Call) -> Answer:
        """Draw when mail would be tried if its host is down."""
        try:
            hours = min(max(float(call.first("hours") or _DEFAULT_DOWN), 0.0), _MAX_HOURS)
        except ValueError:
            hours = _DEFAULT_DOWN
        if hours != hours:
            hours = _DEFAULT_DOWN
        steps = list(self._foretell(hours * 3600))
        line = time_line(steps, hours * 3600)
        return self._page(call, "forecast", "Forecast", steps=steps, line=line, hours=f"{hours:g}")

    async def verify(self, call: Call) -> Answer:
        """Show the check of the store, which a script drives step by step."""
        return self._page(call, "verify", "Check of the store")

    async def verify_step(self, call: Call) -> Answer:
        """Check a part of the store, and answer with JSON."""
        cursor = call.first("cursor") or None
        try:
            found = await self._do(Verify, cursor=cursor, seconds=_STEP_SECONDS)
        except Problem as error:
            return Answer(error.body(), error.status, "application/problem+json")
        return Answer(json.dumps(found).encode(), content_type="application/json")

    async def trace(self, call: Call) -> Answer:
        """Search the history of messages."""
        query = call.first("query").strip()
        found: dict[str, Any] = {"lives": [], "cursor": None}
        problem = ""
        if query:
            cursor = call.first("cursor") or None
            try:
                found = await self._do(Trace, query=query, limit=20, cursor=cursor, seconds=2.0)
            except Problem as error:
                problem = error.detail
        lives = []
        for life in found["lives"]:
            steps = [TracedStep.from_json(event, life) for event in life["events"]]
            lives.append((life, zip(life["events"], await self._wire.places_of(call, steps), strict=True)))
        return self._page(call, "trace", "Trace", query=query, lives=lives, cursor=found["cursor"], problem=problem)

    async def log(self, call: Call) -> Answer:
        """Show the newest events of the mail log."""
        text = call.first("text").strip()
        return self._page(call, "log", "Log", text=text, events=self._api.log.newest(_LOG_ROWS, text))


def _state(typed: str) -> RowState | None:
    """Return a state that was chosen, None for any.

    @raise Problem: there is no such state.
    """
    try:
        return RowState(typed) if typed else None
    except ValueError:
        raise not_allowed([("/state", f"allowed: {', '.join(state.value for state in RowState)}")]) from None


def add_system(face: Face, api: Api, services: Services) -> tuple[Operators, WirePages]:
    """Serve the pages of operators. Returns their logins and the wire."""
    operators = Operators(face, services)
    wire = WirePages(face, api, services, operators)
    SystemPages(api, services, operators, wire)
    DirectoryPages(api.administration, operators)
    RoutePages(api.administration, operators)
    RemovalPages(api.administration, operators)
    face.sections.append((BASE, "Operation of this system"))
    return operators, wire
