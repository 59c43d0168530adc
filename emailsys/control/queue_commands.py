"""Handlers of the commands for the queue, the history of messages and the check of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from emailsys.control import requests
from emailsys.control.long_answers import in_slices
from emailsys.control.request_values import time_field
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces.operators import DomainQueue, Happening, Life, QueueChange, QueueEntry

# Seconds that one request may search or verify; the caller continues with the cursor.
_MAX_SECONDS: Final = 20.0


async def _list_queue(request: requests.QueueList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    entries = await store.queue_operations.entries(request.rows, request.limit, request.after)
    return await in_slices(entries, entry_fields, hooks.turn)


def entry_fields(entry: QueueEntry) -> dict[str, Any]:
    """Return the fields of a queue row in an answer."""
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


async def _summarize_queue(request: requests.QueueSummary, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return await in_slices(await store.queue_operations.summary(), _domain_fields, hooks.turn)


def _domain_fields(row: DomainQueue) -> dict[str, Any]:
    return {
        "domain": row.domain,
        "waiting": row.waiting,
        "leased": row.leased,
        "held": row.held,
        "oldest": time_field(row.oldest),
        "due": time_field(row.next_due),
    }


async def _change_queue(request: requests.QueueChangeRows, store: StoreAccess, hooks: Hooks) -> dict[str, int]:
    changed = await store.queue_operations.change(request.rows, request.change)
    is_due = request.change in (QueueChange.RETRY, QueueChange.RELEASE)
    if changed and is_due and hooks.queue_changed is not None:
        hooks.queue_changed()
    return {"changed": changed}


async def _trace(request: requests.Trace, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    since = datetime.now(UTC) - timedelta(seconds=request.max_age) if request.max_age else None
    seconds = min(request.seconds, _MAX_SECONDS)
    found = await store.trace.search(request.query, request.limit, since, request.cursor, seconds)
    return {
        "lives": [life_fields(life) for life in found.lives],
        "cursor": found.cursor,
        "messages_read": found.looked,
        "read_back_to": time_field(found.reached),
    }


def life_fields(life: Life) -> dict[str, Any]:
    """Return the fields of the history of a message in an answer."""
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
        "events": [_event_fields(event) for event in life.happenings],
    }


def _event_fields(event: Happening) -> dict[str, Any]:
    return {
        "at": time_field(event.at),
        "kind": event.kind.value,
        "recipient": event.recipient or None,
        "reply": event.reply or None,
        "remote": event.remote or None,
        "in_doubt": event.in_doubt,
        "detail": event.detail or None,
        "uid": event.uid or None,
    }


async def _verify(request: requests.Verify, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    checked = await store.verification.check(request.cursor, min(request.seconds, _MAX_SECONDS))
    return {
        "cursor": checked.cursor,
        "messages": checked.messages,
        "octets": checked.octets,
        "recipients": checked.by_end,
        "flaws": [{"queue_id": flaw.queue_id, "what": flaw.what} for flaw in checked.flaws],
    }


QUEUE_HANDLERS: Final[Handlers] = {
    requests.QueueList: _list_queue,
    requests.QueueSummary: _summarize_queue,
    requests.QueueChangeRows: _change_queue,
    requests.Trace: _trace,
    requests.Verify: _verify,
}
