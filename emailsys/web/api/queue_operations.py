"""Operations for the queue, and for the routes by which queued mail leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emailsys.control.requests import QueueChangeRows, QueueList, QueueSummary, RouteExplain, RouteList, RouteRemove
from emailsys.interfaces.operators import QueueChange, RowState, Scope
from emailsys.mail.address import parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.web.api.administration import Administration
from emailsys.web.api.cursor import PAGE, page_of, read_cursor, write_cursor
from emailsys.web.api.operation import JSON_TYPE, Call, Operation, Parameter, Result, Success, in_path
from emailsys.web.api.problem import not_allowed
from emailsys.web.api.schema import (
    Schema,
    address,
    choice,
    count,
    domain,
    flag,
    moment,
    or_null,
    record,
    several,
    text,
)
from emailsys.web.base.services import Foretell

_MAX_IDS: Final = 1000
_MAX_DOWN: Final = 365 * 86400
_ROW: Final = record(
    {
        "id": text("The id of the row."),
        "queue_id": text("The id of the message."),
        "sender": or_null(text("The reverse-path; null for the null one.")),
        "recipient": address("The forward-path."),
        "state": choice("held: not tried until it is released.", *(state.value for state in RowState)),
        "arrived": moment("When the message was accepted."),
        "due": or_null(moment("The next attempt; null if it is held.")),
        "octets": count("The size of the message."),
        "attempts": count("Attempts so far."),
        "warned": flag("Whether the sender was told of the delay."),
        "reply": or_null(text("The last reply, or what failed.", 100_000)),
        "remote": or_null(text("The host that gave it.")),
    }
)
_SUMMARY: Final = record(
    {
        "domain": text("The domain of the recipients."),
        "waiting": count("Recipients that wait for their next attempt."),
        "leased": count("Recipients that are being tried."),
        "held": count("Recipients that an operator or a limit holds."),
        "oldest": moment("When the oldest message was accepted."),
        "due": or_null(moment("The next attempt.")),
    }
)
_STATES: Final = tuple(state.value for state in RowState)
_FILTER: Final[Mapping[str, Schema]] = {
    "queue_ids": several(text("The id of a message.", 40, 1), "Only these messages.", _MAX_IDS),
    "domain": text("Only recipients of this domain.", 255, 1),
    "sender": text("Only mail from this address or domain; <> for the null one.", 400, 1),
    "state": choice("Only rows in this state.", *_STATES),
    "older_than": {"type": "number", "minimum": 0, "maximum": 1e9, "description": "Seconds since the arrival."},
}
_CHANGED: Final = record({"changed": count("Recipients that were changed.")})
_STEP: Final = record(
    {
        "at": moment("When it would happen."),
        "after": count("Seconds after the acceptance."),
        "what": text("What would happen: an attempt, the warning, the delivery or the bounce."),
    }
)
_ROUTE: Final = record(
    {
        "to": or_null(text("Only mail for this domain.")),
        "from": or_null(text("Only mail from this domain.")),
        "host": text("The host that gets the mail."),
        "port": count("Its port.", 1, 65535),
        "tls": choice("Whether TLS is used.", *(policy.value for policy in TLSPolicy)),
        "implicit_tls": flag("Whether TLS begins with the connection."),
        "certificate_name": or_null(text("The name that its certificate must have.")),
        "certificate_fingerprint": or_null(text("The only certificate that is accepted: SHA-256, in hexadecimal.")),
        "username": or_null(text("The name of the login there.")),
    }
)
_EXPLANATION: Final = record(
    {
        "address": address("The recipient."),
        "sender": or_null(address("The sender.")),
        "steps": several(record({"depth": count("How deep in aliases."), "what": text("The step in words.", 10_000)})),
        "next_hops": several(
            record(
                {
                    "recipient": text("The address at that host."),
                    "next_hop": text("The host, or MX of a domain."),
                    "why": text("Which route or rule chose it.", 10_000),
                    "tls": text("Whether TLS is used."),
                    "login": or_null(text("The name of the login there.")),
                    "problem": or_null(text("Why the last attempt failed.", 100_000)),
                }
            )
        ),
        "routes": count("Maildrops and remote recipients that the address leads to."),
    }
)
_TO: Final = Parameter("to", text("The recipient domain of the route; empty for all.", 255, default=""))
_FROM: Final = Parameter("from", text("The sender domain of the route; empty for all.", 255, default=""))


class Queue:
    """The queue and the routes."""

    def __init__(self, administration: Administration, foretell: Foretell) -> None:
        self._administration = administration
        self._do, self._change = administration.do, administration.change
        self._foretell = foretell

    async def list_rows(self, call: Call) -> Result:
        """Answer GET /queue."""
        values = call.values
        after = read_cursor(values.get("cursor"), int)
        limit = values["limit"]
        chosen = _chosen(values)
        rows = await self._do(QueueList, **chosen, limit=limit + 1, after=after[0] if after else 0)
        following = write_cursor(rows[limit - 1]["row"]) if len(rows) > limit else None
        return Result({"items": [_shown(row) for row in rows[:limit]], "next": following})

    async def summary(self, call: Call) -> Result:
        """Answer GET /queue/summary."""
        return Result({"items": await self._do(QueueSummary)})

    async def change(self, call: Call) -> Result:
        """Answer POST /queue/actions."""
        chosen = _chosen(call.body)
        everything = call.body.get("all", False)
        if everything == bool(chosen):
            raise not_allowed([("", "allowed: conditions that choose rows, or `all`: true, not both")])
        return Result(
            await self._change(call.actor, QueueChangeRows, **chosen, change=QueueChange(call.body["action"]))
        )

    async def forecast(self, call: Call) -> Result:
        """Answer GET /queue/forecast."""
        return Result({"items": list(self._foretell(call.values["host_down"]))})

    async def list_routes(self, call: Call) -> Result:
        """Answer GET /routes."""
        return Result({"items": await self._do(RouteList)})

    async def set_route(self, call: Call) -> Result:
        """Answer PUT /routes."""
        return Result(await self._administration.set_route(call.actor, call.body))

    async def remove_route(self, call: Call) -> Result:
        """Answer DELETE /routes."""
        values = call.values
        await self._change(call.actor, RouteRemove, recipient_domain=values["to"], sender_domain=values["from"])
        return Result(status=204)

    async def explain(self, call: Call) -> Result:
        """Answer GET /routes/explain/{address}."""
        sender = call.values.get("sender")
        address = parse(call.values["address"])
        return Result(await self._do(RouteExplain, address, None if sender is None else parse(sender)))


def _chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions that choose rows, as requests have them."""
    chosen = {name: values[name] for name in _FILTER if values.get(name)}
    if "state" in chosen:
        chosen["state"] = RowState(chosen["state"])
    if "queue_ids" in chosen:
        chosen["queue_ids"] = tuple(chosen["queue_ids"])
    return chosen


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its id as text: it does not fit into the numbers of JavaScript."""
    return {"id": str(row["row"]), **{name: value for name, value in row.items() if name != "row"}}


def queue_operations(administration: Administration, foretell: Foretell) -> tuple[Operation, ...]:
    """Return the operations."""
    queue = Queue(administration, foretell)
    read, write = Scope.SYSTEM_READ, Scope.SYSTEM_WRITE
    action = choice(
        "retry: due now. hold: not tried until it is released. release: a held row is due now. drop: discarded without "
        "a bounce, which cannot be undone.",
        *(change.value for change in QueueChange),
    )
    conditions = record(
        {"action": action, **_FILTER, "all": flag("Every row of the queue.")}, optional=(*_FILTER, "all")
    )
    return (
        Operation(
            "listQueue",
            "GET",
            "/queue",
            "List the recipients in the queue.",
            read,
            queue.list_rows,
            Success("A page of recipients, in the order in which their mail was accepted.", page_of(_ROW)),
            "Queue",
            parameters=(*(Parameter(name, schema) for name, schema in _FILTER.items()), *PAGE),
        ),
        Operation(
            "summarizeQueue",
            "GET",
            "/queue/summary",
            "Count the queue by domain.",
            read,
            queue.summary,
            Success("The domains, the one with the most recipients first.", record({"items": several(_SUMMARY)})),
            "Queue",
        ),
        Operation(
            "changeQueue",
            "POST",
            "/queue/actions",
            "Retry, hold, release or drop queued mail.",
            write,
            queue.change,
            Success("How many recipients were changed.", _CHANGED),
            "Queue",
            "A row is changed if it meets every condition that is given.",
            bodies={JSON_TYPE: conditions},
            seconds=600.0,
        ),
        Operation(
            "forecastQueue",
            "GET",
            "/queue/forecast",
            "Show when mail would be tried if its host is down.",
            read,
            queue.forecast,
            Success("The attempts, the warning and the end.", record({"items": several(_STEP)})),
            "Queue",
            "This is the real schedule with the settings in force, without its random jitter.",
            (
                Parameter(
                    "host_down",
                    {
                        "type": "number",
                        "minimum": 0,
                        "maximum": _MAX_DOWN,
                        "description": "Seconds that the host is down.",
                    },
                    is_required=True,
                ),
            ),
        ),
        Operation(
            "listRoutes",
            "GET",
            "/routes",
            "List the routes.",
            read,
            queue.list_routes,
            Success("The routes of the store.", record({"items": several(_ROUTE)})),
            "Routes",
            "Those of the configuration file are not among them. Passwords never appear.",
        ),
        Operation(
            "setRoute",
            "PUT",
            "/routes",
            "Set the route for a pair of domains.",
            write,
            queue.set_route,
            Success("The route.", _ROUTE),
            "Routes",
            "It replaces the route for the same pair.",
            bodies={
                JSON_TYPE: record(
                    {
                        "to": domain("Only mail for this domain."),
                        "from": domain("Only mail from this domain."),
                        "host": text("A host name or an IP address; for LMTP with lmtp: before it.", 255, 1),
                        "port": count("Its port; 25 by default, 24 for LMTP.", 1, 65535),
                        "tls": choice("Whether TLS is used.", *(policy.value for policy in TLSPolicy)),
                        "implicit_tls": flag("Whether TLS begins with the connection."),
                        "certificate_name": text("The name that its certificate must have.", 255),
                        "certificate_fingerprint": text("SHA-256 of the only certificate, in hexadecimal.", 95),
                        "username": text("The name of a login there.", 400),
                        "password": text("Its password. It is stored, and never shown.", 1000),
                    },
                    optional=(
                        "to",
                        "from",
                        "port",
                        "implicit_tls",
                        "certificate_name",
                        "certificate_fingerprint",
                        "username",
                        "password",
                    ),
                )
            },
        ),
        Operation(
            "removeRoute",
            "DELETE",
            "/routes",
            "Remove the route for a pair of domains.",
            write,
            queue.remove_route,
            Success("Removed.", status=204),
            "Routes",
            parameters=(_TO, _FROM),
            problems={409: "There is none."},
        ),
        Operation(
            "explainRoute",
            "GET",
            "/routes/explain/{address}",
            "Explain where mail for an address goes.",
            read,
            queue.explain,
            Success("The aliases on the way, and the next hops.", _EXPLANATION),
            "Routes",
            parameters=(
                in_path("address", address("The recipient.")),
                Parameter("sender", address("The sender; without it, any.")),
            ),
        ),
    )
