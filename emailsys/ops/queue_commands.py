"""The commands for the queue, the life of messages and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from emailsys.operations import Happening, Life, QueueChange, QueueEntry, QueueFilter, RowState
from emailsys.ops.operation import Run, Understand
from emailsys.ops.request_fields import Fields, MalformedRequest, time_field
from emailsys.ops.store_access import Doors, Hooks

_MOST_ENTRIES: Final = 100_000
_MOST_LIVES: Final = 1_000
# Seconds that one request may search or verify; the caller comes again with the cursor.
_MOST_SECONDS: Final = 20.0


def _filter(fields: Fields) -> QueueFilter:
    return QueueFilter(
        queue_ids=fields.words("queue_ids"),
        domain=fields.word("domain"),
        sender=fields.word("sender"),
        state=fields.choice_or_none("state", RowState),
        older_than=fields.seconds("older_than"),
    )


def _queue_list(fields: Fields) -> Run:
    which = _filter(fields)
    limit, after = fields.count("limit", _MOST_ENTRIES), fields.count("after", 1 << 63)

    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [entry_fields(entry) for entry in await doors.queue_operations.entries(which, limit, after)]

    return run


def entry_fields(entry: QueueEntry) -> dict[str, Any]:
    """A queue row as an answer carries it."""
    return {
        "row": entry.row_id,
        "queue_id": entry.queue_id,
        "sender": None if entry.reverse_path is None else str(entry.reverse_path),
        "recipient": str(entry.forward_path),
        "state": entry.state.value,
        "arrived": time_field(entry.arrived_at),
        "due": time_field(entry.due_at),
        "octets": entry.octets,
        "attempts": entry.attempts,
        "warned": entry.warned,
        "reply": entry.last_reply or None,
        "remote": entry.last_remote or None,
    }


def _queue_summary(fields: Fields) -> Run:
    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [
            {
                "domain": row.domain,
                "waiting": row.waiting,
                "leased": row.leased,
                "held": row.held,
                "oldest": time_field(row.oldest),
                "due": time_field(row.next_due),
            }
            for row in await doors.queue_operations.summary()
        ]

    return run


def _queue_change(fields: Fields) -> Run:
    which, change = _filter(fields), fields.choice("change", QueueChange)

    async def run(doors: Doors, hooks: Hooks) -> dict[str, int]:
        changed = await doors.queue_operations.change(which, change)
        if changed and change in (QueueChange.RETRY, QueueChange.RELEASE) and hooks.queue_changed is not None:
            hooks.queue_changed()
        return {"changed": changed}

    return run


def _trace(fields: Fields) -> Run:
    query, limit, back = fields.text("query"), fields.count("limit", _MOST_LIVES), fields.seconds("back")
    cursor, seconds = _cursor(fields), fields.seconds("seconds")

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        since = datetime.now(UTC) - timedelta(seconds=back) if back else None
        found = await doors.trace.search(query, limit, since, cursor, min(seconds, _MOST_SECONDS))
        return {
            "lives": [life_fields(life) for life in found.lives],
            "cursor": found.cursor,
            "looked": found.looked,
            "reached": time_field(found.reached),
        }

    return run


def _cursor(fields: Fields) -> str | None:
    """Where a part goes on; null for the first."""
    cursor = fields.text_or_none("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise MalformedRequest(f"cursor: found {cursor!r}; allowed: the cursor of an answer before, or null")
    return cursor


def life_fields(life: Life) -> dict[str, Any]:
    """The life of a message as an answer carries it."""
    return {
        "queue_id": life.queue_id,
        "arrived": time_field(life.arrived_at),
        "sender": life.reverse_path,
        "message_id": life.header_id or None,
        "octets": life.octets,
        "client": life.client,
        "about": life.cause or None,
        "recipients": list(life.recipients),
        "queued": life.queued,
        "stored": life.stored,
        "happenings": [_happening_fields(one) for one in life.happenings],
    }


def _happening_fields(one: Happening) -> dict[str, Any]:
    return {
        "at": time_field(one.at),
        "kind": one.kind.value,
        "recipient": one.recipient or None,
        "reply": one.reply or None,
        "remote": one.remote or None,
        "in_doubt": one.in_doubt,
        "detail": one.detail or None,
    }


def _verify(fields: Fields) -> Run:
    cursor, seconds = _cursor(fields), fields.seconds("seconds")

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        checked = await doors.verification.check(cursor, min(seconds, _MOST_SECONDS))
        return {
            "cursor": checked.cursor,
            "messages": checked.messages,
            "octets": checked.octets,
            "recipients": checked.by_end,
            "flaws": [{"queue_id": flaw.queue_id, "what": flaw.what} for flaw in checked.flaws],
        }

    return run


QUEUE_COMMANDS: Final[Mapping[str, Understand]] = {
    "queue.list": _queue_list,
    "queue.summary": _queue_summary,
    "queue.change": _queue_change,
    "trace": _trace,
    "verify": _verify,
}
