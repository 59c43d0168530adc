"""Conversations that a watcher has heard of, and the filter that chooses among them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from emailsys.wiretap.conversation import Conversation, Event, Kind

# What a watcher remembers: the daemon keeps fewer, but a watcher may run for days.
MAX_CONVERSATIONS: Final = 500
MAX_EVENTS: Final = 2000


@dataclass
class Watched:
    """One conversation and the events that were heard of it."""

    about: Conversation
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    #: How many events were heard: `events` keeps the newest.
    heard: int = 0

    def add(self, event: Event) -> None:
        """Remember an event."""
        self.events.append(event)
        self.heard += 1

    @property
    def is_over(self) -> bool:
        """Whether the connection is closed."""
        return self.about.closed or any(event.kind is Kind.CLOSED for event in reversed(self.events))


class Heard:
    """Everything that a watcher has heard, the newest conversation last."""

    def __init__(self) -> None:
        self.conversations: OrderedDict[str, Watched] = OrderedDict()
        #: How many events the daemon could not send, because they were read too slowly.
        self.lost = 0
        #: Whether all conversations of the past have come.
        self.is_live = False

    def take(self, line: Mapping[str, Any]) -> list[tuple[Watched, Event]]:
        """Take one line of the stream; return the events that are new.

        @raise ValueError: it is malformed, such as from another release.
        """
        if "conversation" in line:
            return self._begin(Conversation.from_json(line["conversation"]))
        if "event" in line:
            watched = self.conversations.get(str(line.get("session")))
            if watched is None:
                return []
            event = Event.from_json(line["event"])
            watched.add(event)
            return [(watched, event)]
        if "watching" in line:
            self.is_live = True
        if "lost" in line:
            self.lost += int(line["lost"])
        return []

    def _begin(self, about: Conversation) -> list[tuple[Watched, Event]]:
        watched = self.conversations.get(about.id)
        if watched is None:
            watched = self.conversations[about.id] = Watched(about)
            if len(self.conversations) > MAX_CONVERSATIONS:
                self.conversations.popitem(last=False)
        watched.about = about
        for event in about.events:
            watched.add(event)
        return [(watched, event) for event in about.events]


@dataclass(frozen=True)
class Filter:
    """Words that a conversation must have.

    `protocol:smtp`, `peer:192.0.2.7` and `role:client` look at the conversation; any other word must be in its
    session id or in the text of one of its events, whatever its case.
    """

    protocol: str = ""
    peer: str = ""
    role: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str]) -> Filter:
        """Read a filter from words."""
        named: dict[str, str] = {}
        others: list[str] = []
        for word in words:
            key, colon, value = word.casefold().partition(":")
            if colon and key in ("protocol", "peer", "role"):
                named[key] = value
            else:
                others.append(word.casefold())
        return cls(**named, words=tuple(others))

    def takes(self, watched: Watched) -> bool:
        """Whether a conversation has all words."""
        about = watched.about
        if not self._takes_about(about):
            return False
        texts = [about.id.casefold(), *(event.text.casefold() for event in watched.events)] if self.words else []
        return all(any(word in text for text in texts) for word in self.words)

    def takes_event(self, watched: Watched, event: Event) -> bool:
        """Whether an event has all words, or its session id has them."""
        if not self._takes_about(watched.about):
            return False
        texts = (watched.about.id.casefold(), event.text.casefold())
        return all(any(word in text for text in texts) for word in self.words)

    def _takes_about(self, about: Conversation) -> bool:
        return (
            about.protocol.startswith(self.protocol)
            and about.role.value.startswith(self.role)
            and (self.peer in about.peer.casefold() or (bool(self.peer) and self.peer in about.peer_name.casefold()))
        )
