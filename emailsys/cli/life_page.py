"""Page of the history of messages, for `trace --export`: each step, with the conversation in which it happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from emailsys.cli.life_text import event_text
from emailsys.wiretap.conversation import Conversation, Kind, Role
from emailsys.wiretap.export import Block, Dialogue, Prose, Step, Way, page_of

# Conversations on one page.
_MOST: Final = 50
# The times of the history have whole seconds.
_SLACK: Final = 2.0
_TITLES: Final = {"stored": "Delivered", "queued": "Queued", "relayed": "Relayed", "fetched": "Fetched"}
_OUTBOUND: Final = frozenset({"relayed", "delayed", "failed", "failed untold", "held"})
_READ: Final = frozenset({"fetched", "deleted"})
_NOT_RECORDED: Final = (
    "None of these connections was recorded. To record all connections, set enabled = true in [wiretap]; "
    "to record for a while, run emailsys watch."
)


def life_page(lives: Sequence[Mapping[str, Any]], recorded: Sequence[Conversation]) -> str:
    """Return the page.

    @param lives: as `trace --json` prints them.
    @param recorded: any conversations of the daemon; those of these messages are chosen.
    """
    blocks: list[Block] = []
    talks: dict[str, Conversation] = {}
    for life in lives:
        steps = []
        for event in life["events"]:
            talk = _conversation_of(event, life, recorded)
            if talk is not None:
                talks.setdefault(talk.id, talk)
            steps.append(_step(event, life, "" if talk is None else talk.id))
        blocks.append(Way(f"Message {life['queue_id']}", steps, f"From {life['sender'] or '<>'}, in UTC."))
    shown = sorted(talks.values(), key=lambda talk: talk.opened)[:_MOST]
    blocks += [Dialogue(talk) for talk in shown]
    if not shown:
        blocks.append(Prose("The conversations", (_NOT_RECORDED,)))
    elif len(talks) > _MOST:
        blocks.append(Prose("More", (f"{len(talks) - _MOST} more conversations are not shown here.",)))
    title = f"The way of message {lives[0]['queue_id']}" if len(lives) == 1 else "The ways of some messages"
    return page_of(title, blocks, lead="What happened to it, and in which conversation.")


def _step(event: Mapping[str, Any], life: Mapping[str, Any], conversation: str) -> Step:
    kind, client = event["kind"], life["client"] or {}
    where = event["remote"] or event["recipient"] or ""
    title = _TITLES.get(kind, kind.capitalize())
    if kind == "accepted":
        title = "Submitted" if client.get("account") else "Received"
        where = client.get("account") or client.get("ip") or "this system"
    return Step(title, where, f"{event_text(event, life)}.", conversation, _seconds(event["at"]))


def _conversation_of(
    event: Mapping[str, Any], life: Mapping[str, Any], recorded: Iterable[Conversation]
) -> Conversation | None:
    """Return the conversation in which an event happened, if it was recorded."""
    kind, at = event["kind"], _seconds(event["at"])
    if kind == "accepted":
        session = (life["client"] or {}).get("session")
        return next((talk for talk in recorded if talk.id == session), None)
    if kind in _OUTBOUND:
        talks = [talk for talk in recorded if _during(talk, at) and talk.role is Role.CLIENT]
        # A record that has lost events in between may have lost the outcome, but has the reply.
        found = [talk for talk in talks if _names(talk, life["queue_id"])] or [
            talk for talk in talks if _answered(talk, event)
        ]
    elif kind in _READ:
        found = [talk for talk in recorded if _during(talk, at) and _handled(talk, str(event.get("uid") or ""))]
    else:
        return None
    # The connection may have been used for other messages before and after.
    return found[0] if found else None


def _during(talk: Conversation, at: float) -> bool:
    return talk.opened - _SLACK <= at <= talk.opened + talk.seconds + _SLACK


def _names(talk: Conversation, queue_id: str) -> bool:
    """Tell whether a conversation has an outcome of the message."""
    return any(event.details.get("queue_id") == queue_id for event in talk.events)


def _answered(talk: Conversation, attempt: Mapping[str, Any]) -> bool:
    """Tell whether that host gave the reply of a delivery attempt in this conversation."""
    reply, remote = str(attempt["reply"] or ""), str(attempt["remote"] or "")
    return _is_with(talk, remote) and any(event.kind is Kind.REPLY and event.text == reply for event in talk.events)


def _is_with(talk: Conversation, remote: str) -> bool:
    """Tell whether a conversation is with a host, which the history calls by its name, its address or both."""
    address = talk.peer.rpartition(":")[0].strip("[]")
    return any(known and known in remote for known in (address, talk.peer_name))


def _handled(talk: Conversation, uid: str) -> bool:
    """Tell whether a message of a maildrop was read or deleted in this conversation."""
    return any(event.kind is Kind.MESSAGE and event.details.get("uid") == uid for event in talk.events)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
