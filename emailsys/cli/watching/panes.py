"""Panes of the full screen: the list of conversations, and the events of one of them."""

from __future__ import annotations

from rich.text import Text
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.cli.watching.conversations import MAX_EVENTS, Filter, Heard, Watched
from emailsys.cli.watching.ladder import LEAST_WIDTH, heading, rung
from emailsys.cli.watching.rows import conversation_row, event_row, explanation_text, is_notable, meaning_row
from emailsys.cli.watching.walk import Walk
from emailsys.wiretap.conversation import Event
from emailsys.wiretap.explain import Explanation


class _Pane(OptionList):
    """List whose row under the cursor stays visible when its height changes."""

    def on_resize(self, event: Resize) -> None:
        """Scroll to the cursor: a longer explanation below the events, or a lower terminal, may have hidden it."""
        # Not at once: the list forgets the heights of its rows only after this handler.
        self.call_next(self.scroll_to_highlight)


class ConversationPane(_Pane):
    """Conversations that the filter takes, the newest last."""

    def __init__(self, *, id: str, markup: bool) -> None:
        super().__init__(id=id, markup=markup)
        #: The conversations in the order of the rows.
        self.shown: list[Watched] = []
        # How many events each of them had when its row was drawn.
        self._drawn: list[int] = []

    @property
    def current(self) -> Watched | None:
        """The conversation under the cursor."""
        at = self.highlighted
        return self.shown[at] if at is not None and at < len(self.shown) else None

    @property
    def is_at_newest(self) -> bool:
        """Whether the cursor is on the newest conversation."""
        return self.highlighted == len(self.shown) - 1

    def show(self, heard: Heard, wanted: Filter, follows: bool) -> None:
        """Draw what has changed. @param follows: whether to put the cursor on the newest conversation."""
        chosen = [one for one in heard.conversations.values() if wanted.takes(one)]
        count = len(self.shown)
        # Conversations are compared by identity: most of the time there are only more at the end.
        if len(chosen) < count or any(a is not b for a, b in zip(chosen, self.shown, strict=False)):
            self._draw_all(chosen)
        else:
            for at, one in enumerate(self.shown):
                if one.heard != self._drawn[at]:
                    self._drawn[at] = one.heard
                    self.replace_option_prompt_at_index(at, conversation_row(one))
            self.shown = chosen
            self._drawn += [one.heard for one in chosen[count:]]
            self.add_options(Option(conversation_row(one)) for one in chosen[count:])
        if chosen and (follows or self.highlighted is None):
            self.highlighted = len(chosen) - 1

    def _draw_all(self, chosen: list[Watched]) -> None:
        current = self.current
        self.clear_options()
        self.shown = chosen
        self._drawn = [one.heard for one in chosen]
        self.add_options(Option(conversation_row(one)) for one in chosen)
        if current is not None and any(one is current for one in chosen):
            self.highlighted = next(at for at, one in enumerate(chosen) if one is current)


class HeadingLine(Widget):
    """Names of the two sides of a conversation, above its ladder."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._watched: Watched | None = None

    def show(self, watched: Watched | None) -> None:
        """Name the sides of a conversation, or disappear."""
        if watched is not self._watched:
            self._watched = watched
            self.set_class(watched is not None, "drawn")
            self.refresh()

    @override
    def render(self) -> Text:
        width = self.content_size.width
        return Text() if self._watched is None or width < LEAST_WIDTH else heading(self._watched.about, width)


class EventPane(_Pane):
    """The events of one conversation, each with its explanation below it if `explains` is set.

    They are lines, or the rungs of a ladder between client and server if `is_ladder` is set and there is room.
    """

    def __init__(self, *, id: str, markup: bool) -> None:
        super().__init__(id=id, markup=markup)
        self.explains = False
        self.is_ladder = False
        # The width for which the rows were drawn.
        self._drawn_width = 0
        self._watched: Watched | None = None
        self._walk = Walk("smtp")
        self._heard = 0
        self._events: list[tuple[Event, Explanation]] = []

    def show(self, watched: Watched | None) -> None:
        """Draw a conversation, or only what is new in it. The cursor stays at the end if it was there."""
        if watched is None:
            self._watched = None
            self._events = []
            self.clear_options()
            return
        new = watched.heard - self._heard if watched is self._watched else 0
        if watched is not self._watched or len(self._events) + new > 2 * MAX_EVENTS:
            self._begin(watched)
            return
        if new <= 0:
            return
        at_end = self.highlighted is None or self.highlighted >= len(self._events) - 1
        self._show_more(list(watched.events)[-new:])
        if at_end:
            self.highlighted = len(self._events) - 1

    def _begin(self, watched: Watched) -> None:
        self._watched = watched
        self._walk = Walk(watched.about.protocol)
        self._events = []
        self.clear_options()
        self._show_more(list(watched.events))
        if self._events:
            self.highlighted = len(self._events) - 1

    def _show_more(self, events: list[Event]) -> None:
        watched = self._watched
        assert watched is not None
        self._heard = watched.heard
        new = [(event, self._walk.step(event)) for event in events]
        self._events += new
        self.add_options(Option(self._row(event, meaning)) for event, meaning in new)

    @property
    def draws_ladder(self) -> bool:
        """Whether rows are rungs: it is wanted, and there is room."""
        return self.is_ladder and self.scrollable_content_region.width >= LEAST_WIDTH

    def _row(self, event: Event, meaning: Explanation) -> Text:
        assert self._watched is not None
        self._drawn_width = self.scrollable_content_region.width
        if not self.draws_ladder:
            return event_row(self._watched, event, meaning if self.explains else None)
        row = rung(self._watched, event, self._drawn_width)
        return Text.assemble(row, "\n", meaning_row(meaning)) if self.explains else row

    @override
    def on_resize(self, event: Resize) -> None:
        """Draw the rungs for another width. Textual calls the handler of the base class as well."""
        if self.is_ladder and self.scrollable_content_region.width != self._drawn_width:
            self.show_again()

    def show_again(self) -> None:
        """Draw all rows again: with or without explanations, as lines or as a ladder, or for another width."""
        at = self.highlighted
        self.clear_options()
        self.add_options(Option(self._row(event, meaning)) for event, meaning in self._events)
        self.highlighted = at

    def jump(self, step: int) -> None:
        """Move the cursor to the next notable event in a direction, 1 or -1, if there is one."""
        at = (self.highlighted if self.highlighted is not None else -1) + step
        while 0 <= at < len(self._events):
            if is_notable(self._events[at][0]):
                self.highlighted = at
                return
            at += step

    def explanation(self) -> Text:
        """Return all that is known of the event under the cursor."""
        at = self.highlighted
        return Text() if at is None or at >= len(self._events) else explanation_text(*self._events[at])
