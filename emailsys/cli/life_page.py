"""Page of the history of messages, for `trace --export`: each step, with the conversation in which it happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from emailsys.cli.life_text import event_text
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.export import Block, Dialogue, Prose, Step, Way, page_of
from emailsys.wiretap.journeys import conversations_of

# Conversations on one page.
_MOST: Final = 50
_TITLES: Final = {"stored": "Delivered", "queued": "Queued", "relayed": "Relayed", "fetched": "Fetched"}
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
        found = conversations_of([TracedStep.from_json(event, life) for event in life["events"]], recorded)
        for event, talk in zip(life["events"], found, strict=True):
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


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
