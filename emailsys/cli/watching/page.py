"""Page of conversations, for `watch --export`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from emailsys.cli.watching.conversations import Watched
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.export import Block, Dialogue, Prose, page_of

# Conversations on one page.
_MOST: Final = 50


def page_of_conversations(found: Sequence[Watched]) -> str:
    """Return a page with the newest of these conversations.

    @param found: at least one, the newest last.
    """
    shown = found[-_MOST:]
    blocks: list[Block] = [Dialogue(_whole(watched)) for watched in shown]
    if len(found) > len(shown):
        blocks.append(Prose("More", (f"{len(found) - len(shown)} older conversations are not shown here.",)))
    title = "A conversation" if len(found) == 1 else "Conversations"
    return page_of(f"{title} of this host", blocks, lead="Recorded by the daemon, without passwords and messages.")


def _whole(watched: Watched) -> Conversation:
    """Return the conversation with all events that were heard of it."""
    about, events = watched.about, tuple(watched.events)
    return replace(about, events=events, closed=watched.is_over, dropped=about.dropped + watched.heard - len(events))
