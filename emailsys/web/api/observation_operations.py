"""Operations that show what the system does and did: status, traces, the check of the store, live events."""

from __future__ import annotations

from typing import Any, Final

from emailsys.control.requests import Status, Trace, Verify
from emailsys.interfaces.operators import EventKind, Scope
from emailsys.web.api.administration import Administration
from emailsys.web.api.cursor import page_of, read_cursor, write_cursor
from emailsys.web.api.live import LiveNumbers
from emailsys.web.api.operation import EVENTS_TYPE, Call, Operation, Parameter, Result, Success
from emailsys.web.api.schema import (
    anything,
    choice,
    count,
    flag,
    moment,
    or_null,
    record,
    several,
    table,
    text,
)
from emailsys.web.base.event_ring import EventRing

# Seconds that one request may search or verify.
_MAX_SECONDS: Final = 20
_MAX_LIVES: Final = 1000
_AT: Final = moment("When it happened.")
_EVENT: Final = record(
    {
        "at": _AT,
        "kind": choice("What happened.", *(kind.value for kind in EventKind)),
        "recipient": or_null(text("The recipient that it concerns.")),
        "reply": or_null(text("The reply of the other host, or what failed.", 100_000)),
        "remote": or_null(text("The other host.")),
        "in_doubt": flag("Whether the reply to the end of the message was lost."),
        "detail": or_null(text("The id of a notice, or the targets of an alias.", 100_000)),
        "uid": or_null(text("Of a fetch or a deletion: the id of the message in that maildrop, as POP3 lists it.")),
    }
)
_LIFE: Final = record(
    {
        "queue_id": text("The id of the message."),
        "arrived": moment("When it was accepted."),
        "sender": or_null(text("The reverse-path; null for the null one.")),
        "message_id": or_null(text("Its Message-ID.", 10_000)),
        "octets": count("Its size."),
        "client": or_null(anything("The client that sent it: session, ip, helo, protocol, tls, account.")),
        "about": or_null(text("The id of the message that a notice reports on.")),
        "recipients": several(text()),
        "queued": count("Recipients that are in the queue."),
        "stored": count("Maildrops that have it."),
        "events": several(_EVENT),
    }
)
_HOP: Final = record(
    {
        "name": text("The host."),
        "held": count("Deliveries that wait for it here."),
        "active": count("Deliveries under way."),
        "paused_until": or_null(moment("When it is tried again.")),
        "reason": or_null(text("Why it is paused.", 100_000)),
        "alarm": or_null({"type": ["boolean", "string"], "description": "Whether an operator must act."}),
    }
)
_WORKERS: Final = record(
    {
        "wanted": count("Worker processes of the configuration."),
        "services": several(text("A service."), "The services whose sessions they serve."),
        "serving": several(
            record(
                {
                    "pid": count("The process."),
                    "connections": count("Its connections."),
                    "uptime": {"type": "number", "description": "Seconds since it began to serve."},
                }
            ),
            "Those that serve. The daemon itself serves while there are none.",
        ),
        "problem": or_null(text("Why the last one ended, if some are missing.", 10_000)),
    }
)
#: The answer of the command `status`.
STATUS: Final = record(
    {
        "pid": count("The process."),
        "version": text("The release."),
        "hostname": text("The name of this host."),
        "state": text("The state folder.", 10_000),
        "config": or_null(text("The configuration file.", 10_000)),
        "listening": table(several(text()), "The addresses of each service."),
        "uptime": {"type": "number", "description": "Seconds since the start."},
        "sessions": table(count("Open sessions."), "The sessions of each service."),
        "workers": or_null(_WORKERS),
        "outbound": flag("Whether mail is sent to other hosts."),
        "next_hops": several(_HOP, "Those with an alarm first, then the busiest."),
        "disk": or_null(record({"free": count("Free octets."), "required": count("Octets that mail needs.")})),
        "store": record(
            {
                "location": text("Where the store is.", 10_000),
                "problem": or_null(text("Why no mail is accepted.", 10_000)),
                "untrusted": flag("Whether its files were replaced."),
            }
        ),
        "certificates": record(
            {"expires": or_null(moment("When the first one expires.")), "problems": several(text("", 10_000))}
        ),
        "damaged": several(
            record({"queue_id": text("The message."), "what": text("What is wrong.")}),
            "Messages whose body is damaged.",
        ),
        "counters": table(count("Events since the start."), "The log events by name."),
    }
)
_CHECKED: Final = record(
    {
        "next": or_null(text("The cursor of the next part; null at the end.")),
        "messages": count("Messages of this part."),
        "octets": count("Their octets."),
        "recipients": table(count("Recipients."), "Where the recipients are, or how they ended."),
        "flaws": several(record({"queue_id": text("The message."), "what": text("What is wrong.", 10_000)})),
    }
)
_LOG: Final = record(
    {
        "items": several(
            record(
                {
                    "at": moment("When it happened."),
                    "event": text("The name of the event."),
                    "fields": table(text("The value.", 1000), "Its fields by name."),
                }
            )
        ),
        "next": {"type": "null"},
    }
)
_CURSOR: Final = Parameter("cursor", text("The `next` of the answer before; without it, the beginning.", 400, 1))


class Observation:
    """Status, traces and live events."""

    def __init__(self, administration: Administration, numbers: LiveNumbers, log: EventRing) -> None:
        self._do = administration.do
        self._numbers = numbers
        self._log = log

    async def status(self, call: Call) -> Result:
        """Answer GET /status."""
        return Result(await self._do(Status))

    async def trace(self, call: Call) -> Result:
        """Answer GET /trace."""
        values = call.values
        cursor = read_cursor(values.get("cursor"), str)
        found = await self._do(
            Trace,
            query=values["query"],
            limit=values["limit"],
            max_age=values["max_age"],
            cursor=cursor[0] if cursor else None,
            seconds=float(values["seconds"]),
        )
        following = write_cursor(found["cursor"]) if found["cursor"] else None
        return Result({"items": found["lives"], "next": following})

    async def verify(self, call: Call) -> Result:
        """Answer GET /verify."""
        cursor = read_cursor(call.values.get("cursor"), str)
        checked = await self._do(Verify, cursor[0] if cursor else None, float(call.values["seconds"]))
        found: dict[str, Any] = dict(checked)
        ahead = found.pop("cursor")
        return Result({"next": write_cursor(ahead) if ahead else None, **found})

    async def log(self, call: Call) -> Result:
        """Answer GET /log."""
        found = self._log.newest(call.values["limit"], call.values.get("containing", ""))
        return Result({"items": list(found), "next": None})

    async def events(self, call: Call) -> Result:
        """Answer GET /events."""
        return Result(self._numbers.stream(), content_type=EVENTS_TYPE)


def observation_operations(
    administration: Administration, numbers: LiveNumbers, log: EventRing
) -> tuple[Operation, ...]:
    """Return the operations."""
    observation = Observation(administration, numbers, log)
    read = Scope.SYSTEM_READ
    seconds = Parameter("seconds", count("How long the search may take.", 1, _MAX_SECONDS, default=2))
    return (
        Operation(
            "getStatus",
            "GET",
            "/status",
            "Show the running system.",
            read,
            observation.status,
            Success("The status.", STATUS),
            "System",
        ),
        Operation(
            "trace",
            "GET",
            "/trace",
            "Search the history of messages.",
            read,
            observation.trace,
            Success("Messages, the latest first.", page_of(_LIFE)),
            "System",
            "A page may be empty although `next` is not null: the time was over before a message was found.",
            (
                Parameter(
                    "query",
                    text("A queue id, a Message-ID, or the address of a sender or recipient.", 1000, 1),
                    is_required=True,
                ),
                Parameter(
                    "max_age",
                    {
                        "type": "number",
                        "minimum": 0,
                        "maximum": 1e11,
                        "default": 0.0,
                        "description": "Only messages accepted within so many seconds; 0 for all.",
                    },
                ),
                Parameter("limit", count("Messages of the page.", 1, _MAX_LIVES, default=20)),
                seconds,
                _CURSOR,
            ),
        ),
        Operation(
            "verify",
            "GET",
            "/verify",
            "Check a part of the store.",
            read,
            observation.verify,
            Success("What was found in this part.", _CHECKED),
            "System",
            "Every accepted recipient must be in exactly one place, and every body as it was accepted. Call it with "
            "`next` until that is null.",
            (seconds, _CURSOR),
        ),
        Operation(
            "listLog",
            "GET",
            "/log",
            "List the newest events of the mail log.",
            read,
            observation.log,
            Success("The events, the newest first.", _LOG),
            "System",
            "Events since the start of the daemon, at most 2000.",
            (
                Parameter("containing", text("Only events with this text in their name or values.", 200, 1)),
                Parameter("limit", count("How many.", 1, 1000, default=100)),
            ),
        ),
        Operation(
            "streamEvents",
            "GET",
            "/events",
            "Watch the numbers of the system.",
            read,
            observation.events,
            Success(
                "Server-Sent Events `numbers`, one about every second, each with a JSON object.", None, EVENTS_TYPE
            ),
            "System",
            "The object has: "
            + ", ".join(f"`{name}` ({what})" for name, what in LiveNumbers.NAMES.items())
            + ". A client that does not read is disconnected. At most "
            f"{LiveNumbers.MAX_STREAMS} clients can watch.",
            problems={429: "Too many clients watch."},
        ),
    )
