"""Conversations as lines of text, with or without explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from emailsys.cli.watching.conversations import Filter, Watched
from emailsys.cli.watching.event_lines import line_of
from emailsys.cli.watching.walk import Walk
from emailsys.wiretap.conversation import Event


class PlainLines:
    """Lines for the events of several conversations, in the order in which they happen."""

    def __init__(self, explain: bool, wanted: Filter | None = None) -> None:
        """@param explain: whether each line is followed by its meaning. @param wanted: None for all events."""
        self._explain = explain
        self._wanted = wanted or Filter()
        self._walks: dict[str, Walk] = {}

    def of(self, found: Iterable[tuple[Watched, Event]]) -> Iterator[str]:
        """Yield the lines of new events."""
        for watched, event in found:
            about = watched.about
            meaning = None
            if self._explain:
                meaning = self._walks.setdefault(about.id, Walk(about.protocol)).step(event)
            if watched.is_over:
                self._walks.pop(about.id, None)
            if self._wanted.takes_event(watched, event):
                yield line_of(about, event)
                if meaning is not None:
                    yield f"    {meaning.meaning} {f'({meaning.rfc})' if meaning.rfc else ''}".rstrip()
