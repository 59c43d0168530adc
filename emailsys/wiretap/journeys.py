"""Journeys: in which recorded conversation each step of a message's history happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from emailsys.interfaces.operators import EventKind
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.wiretap.conversation import Conversation, Kind, Role

# Seconds. The times of the history have whole seconds.
_SLACK: Final = 2.0
# Steps of the commit before the reply to the final dot.
_ACCEPTED: Final = frozenset({EventKind.ACCEPTED, EventKind.STORED, EventKind.QUEUED, EventKind.EXPANDED})
_OUTBOUND: Final = frozenset(
    {EventKind.RELAYED, EventKind.DELAYED, EventKind.FAILED, EventKind.FAILED_UNTOLD, EventKind.HELD}
)
_READ: Final = frozenset({EventKind.FETCHED, EventKind.DELETED})


def conversations_of(steps: Sequence[TracedStep], recorded: Iterable[Conversation]) -> list[Conversation | None]:
    """Return the conversation of each step, None for a step whose conversation is not recorded."""
    if not steps:
        return []
    first, last = min(step.at for step in steps), max(step.at for step in steps)
    near = [talk for talk in recorded if talk.opened - _SLACK <= last and first <= _ended(talk)]
    return [_conversation_of(step, near) for step in steps]


def _conversation_of(step: TracedStep, recorded: Sequence[Conversation]) -> Conversation | None:
    if step.kind in _ACCEPTED:
        return next((talk for talk in recorded if step.session and talk.id == step.session), None)
    talks = [talk for talk in recorded if talk.opened - _SLACK <= step.at <= _ended(talk)]
    if step.kind in _OUTBOUND:
        talks = [talk for talk in talks if talk.role is Role.CLIENT]
        # A record that has lost events in between may have lost the outcome, but has the reply.
        found = [talk for talk in talks if _names(talk, step.queue_id)] or [
            talk for talk in talks if _answered(talk, step)
        ]
    elif step.kind in _READ:
        found = [talk for talk in talks if _handled(talk, step.uid)]
    else:
        return None
    # The connection may have been used for other messages before and after.
    return found[0] if found else None


def _ended(talk: Conversation) -> float:
    return talk.opened + talk.seconds + _SLACK


def _names(talk: Conversation, queue_id: str) -> bool:
    """Tell whether a conversation has an outcome of the message."""
    return any(event.details.get("queue_id") == queue_id for event in talk.events)


def _answered(talk: Conversation, step: TracedStep) -> bool:
    """Tell whether that host gave the reply of a delivery attempt in this conversation."""
    return _is_with(talk, step.remote) and any(
        event.kind is Kind.REPLY and event.text == step.reply for event in talk.events
    )


def _is_with(talk: Conversation, remote: str) -> bool:
    """Tell whether a conversation is with a host, which the history calls by its name, its address or both."""
    address = talk.peer.rpartition(":")[0].strip("[]")
    return any(known and known in remote for known in (address, talk.peer_name))


def _handled(talk: Conversation, uid: str) -> bool:
    """Tell whether a message of a maildrop was read or deleted in this conversation."""
    return any(event.kind is Kind.MESSAGE and event.details.get("uid") == uid for event in talk.events)
