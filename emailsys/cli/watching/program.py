"""Full screen of the command `watch`: conversations on the left, the lines of one of them, explained, on the right."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import click
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList, Static
from typing_extensions import override

from emailsys.cli.stream_encoding import adapt_keys
from emailsys.cli.watching.conversations import Filter, Heard
from emailsys.cli.watching.panes import ConversationPane, EventPane, HeadingLine
from emailsys.client.screen.key_line import KeyLine
from emailsys.client.screen.key_order import consumes, keys_handled
from emailsys.client.screen.themes import THEMES
from emailsys.client.text.terminal import safe_line
from emailsys.config.exit_status import Exit
from emailsys.upstream import NoLocals, OrderedBindings

# Seconds between two looks at what has arrived, and lines that may wait for it. While more wait, nothing is read, and
# the daemon counts the events that it could not send.
_LOOK_EVERY: Final = 0.1
_MAX_WAITING: Final = 5000
# Lines that are taken at one look: the screen answers keys meanwhile.
_LINES_A_LOOK: Final = 1000

_STYLESHEET: Final = """
Screen { background: $background; color: $foreground; layers: base; }
#bar { height: 1; background: $panel; padding: 0 1; text-style: bold; }
#panes { height: 1fr; }
OptionList { border: none; background: $background; padding: 0; scrollbar-size: 1 1; }
#conversations { width: 36; height: 100%; border-right: solid $panel; overflow-x: hidden; }
#conversations:focus { border-right: solid $primary; }
#right { width: 1fr; height: 100%; }
#heading { height: 1; display: none; padding: 0 1 0 0; }
#heading.drawn { display: block; }
#events { height: 1fr; scrollbar-gutter: stable; }
#explanation { height: auto; max-height: 9; background: $surface; padding: 0 1; border-top: solid $panel; }
#filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
#filter.asked { display: block; }
.-low #explanation { max-height: 4; }
.-narrow #conversations { width: 100%; border-right: none; }
.-narrow #right { display: none; }
.-narrow .reading #conversations { display: none; }
.-narrow .reading #right { display: block; width: 100%; }
"""


class WatchProgram(NoLocals, OrderedBindings, App[int]):
    """Shows a stream of lines from the daemon."""

    TITLE = "emailsys watch"
    CSS = _STYLESHEET
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("slash", "filter", "Filter"),
        Binding("space", "pause", "Pause"),
        Binding("f", "follow", "Follow"),
        Binding("l", "ladder", "Ladder"),
        Binding("e", "explain", "Explain"),
        Binding("n", "notable(1)", "Next"),
        Binding("p", "notable(-1)", "Previous", show=False),
        Binding("escape", "leave_pane", "Back", show=False),
        # With priority: the message by which a field or a list reports Enter comes after the next key.
        Binding("enter", "enter", show=False, priority=True),
    ]

    def __init__(self, lines: Iterator[Mapping[str, Any]], words: Sequence[str] = ()) -> None:
        """@param lines: blocks in a thread of its own. @param words: the filter at the start."""
        super().__init__()
        for one in THEMES:
            self.register_theme(one)
        self.theme = THEMES[0].name
        self.heard = Heard()
        self._lines = lines
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._words = tuple(words)
        self._wanted = Filter.parse(words)
        self._following = True
        self._paused = False
        self._bar = Static(id="bar", markup=False)
        self._bar_text = ""
        self._conversations = ConversationPane(id="conversations", markup=False)
        self._heading = HeadingLine(id="heading")
        self._events = EventPane(id="events", markup=False)
        self._explanation = Static(id="explanation", markup=False)
        hint = "protocol:smtp peer:192.0.2.7 words"
        self._field = Input(placeholder=hint, id="filter", compact=True)
        #: Why no more lines come, "" while they do.
        self.ended = ""

    @override
    def compose(self) -> ComposeResult:
        yield self._bar
        with Horizontal(id="panes"):
            yield self._conversations
            with Vertical(id="right"):
                yield self._heading
                yield self._events
                yield self._explanation
        yield self._field
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin to read."""
        self._field.value = " ".join(self._words)
        self.screen.set_focus(self._conversations)
        self._events.explains = self.size.width >= 100
        self._events.is_ladder = self.size.width >= 100
        threading.Thread(target=self._read, name="watch", daemon=True).start()
        self.set_interval(_LOOK_EVERY, self._look)
        self._show_bar()

    @override
    async def on_event(self, event: events.Event) -> None:
        """Let each key act before the next one, which is for the pane or the field that it leads to."""
        if isinstance(event, events.AppBlur):
            # Textual would take the focus from the pane. Some terminals never tell that they get it back.
            return
        if isinstance(event, events.Key) and not event.is_forwarded and not consumes(self.focused, event):
            await keys_handled(self.focused)
            if await self.ran_binding(event.key):
                return
        await super().on_event(event)

    # What arrives

    def _read(self) -> None:
        """Read lines in a thread until there are no more."""
        try:
            for line in self._lines:
                self._waiting.append(line)
                while len(self._waiting) >= _MAX_WAITING:
                    time.sleep(_LOOK_EVERY)
            self.ended = "The daemon has ended the stream."
        except click.ClickException as error:
            self.ended = error.message[:1].upper() + error.message[1:]
        except Exception as error:
            self.ended = f"Unexpected {type(error).__name__} while reading from the daemon."

    def _look(self) -> None:
        """Take what has arrived, and show it unless the screen is paused."""
        taken = 0
        while self._waiting and taken < _LINES_A_LOOK:
            taken += 1
            try:
                self.heard.take(self._waiting.popleft())
            except ValueError:
                self.ended = "The daemon sent a reply that this release does not understand."
        if taken and not self._paused:
            self._show()
        self._show_bar()

    def _show(self) -> None:
        self._conversations.show(self.heard, self._wanted, self._following)
        self._show_events()

    def _show_events(self) -> None:
        current = self._conversations.current
        self._events.show(current)
        self._heading.show(current if self._events.is_ladder else None)

    def _show_bar(self) -> None:
        parts = [f"{len(self._conversations.shown)} of {len(self.heard.conversations)} conversations"]
        if self._words:
            parts.append(f"filter: {safe_line(' '.join(self._words))}")
        if self._paused:
            parts.append("PAUSED")
        elif self._following:
            parts.append("following")
        if self.heard.lost:
            parts.append(f"{self.heard.lost} events lost")
        if self.ended:
            parts.insert(0, self.ended)
        elif not self.heard.is_live:
            parts = ["connecting"]
        text = ", ".join(parts)
        if text != self._bar_text:
            self._bar_text = text
            self._bar.update(Text(text, no_wrap=True, overflow="ellipsis"))

    # Selections

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the conversation, or explain the event, under the cursor."""
        if event.option_list is self._conversations:
            if self.focused is self._conversations and not self._conversations.is_at_newest:
                self._following = False
            self._show_events()
        self._explanation.update(self._events.explanation())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to the events of the conversation that was clicked."""
        if event.option_list is self._conversations:
            self._go_to_events()

    def _go_to_events(self) -> None:
        self._following = False
        # The list has moved its cursor, and reports it behind the keys that have come already.
        self._show_events()
        self.query_one("#panes").add_class("reading")
        # Not its focus(), which comes after keys that the program has got already.
        self.screen.set_focus(self._events)

    def on_descendant_focus(self) -> None:
        """A narrow screen shows the pane that has the focus."""
        self.query_one("#panes").set_class(self.focused is self._events, "reading")

    def action_leave_pane(self) -> None:
        """Leave the filter, or the events."""
        field = self._field
        if field.has_class("asked"):
            field.value = " ".join(self._words)
            field.remove_class("asked")
        self.screen.set_focus(self._conversations)

    # Keys

    def action_enter(self) -> None:
        """Use the filter that was typed, or go to the events of the conversation."""
        if self.focused is self._field:
            self._use_filter()
        elif self.focused is self._conversations and self._conversations.current is not None:
            self._go_to_events()

    def action_filter(self) -> None:
        """Ask for a filter."""
        field = self._field
        field.add_class("asked")
        self.screen.set_focus(field)

    def _use_filter(self) -> None:
        self._words = tuple(self._field.value.split())
        self._wanted = Filter.parse(self._words)
        self._field.remove_class("asked")
        self.screen.set_focus(self._conversations)
        self._show()
        self._show_bar()

    def action_pause(self) -> None:
        """Stop or continue to show what arrives."""
        self._paused = not self._paused
        if not self._paused:
            self._show()
        self._show_bar()

    def action_follow(self) -> None:
        """Begin or stop to follow the newest conversation."""
        self._following = not self._following
        self._show()
        self._show_bar()

    def action_explain(self) -> None:
        """Show or hide explanations below the lines."""
        self._events.explains = not self._events.explains
        self._events.show_again()

    def action_ladder(self) -> None:
        """Draw the conversation as a ladder between client and server, or as lines."""
        self._events.is_ladder = not self._events.is_ladder
        self._events.show_again()
        self._show_events()

    def action_notable(self, step: int) -> None:
        """Jump to the next or previous event that a reader looks for."""
        self._show_events()
        self.screen.set_focus(self._events)
        self._events.jump(step)

    @override
    def failure_text(self, error: Exception | None) -> Text:
        places = traceback.format_tb(error.__traceback__) if error is not None else []
        what = type(error).__name__
        return Text(f"{''.join(places)}emailsys: unexpected {what}. Please report it, with these lines.")


def run(lines: Iterator[Mapping[str, Any]], words: Sequence[str]) -> int:
    """Run the full screen, and return the exit status."""
    # A daemon that does not run is told before the screen is drawn.
    first = next(lines, None)
    program = WatchProgram(_after(first, lines), words)
    adapt_keys()
    program.run()
    if program.return_code:
        return program.return_code
    if program.ended:
        click.echo(f"emailsys: {program.ended}", err=True)
        return Exit.UNAVAILABLE
    return Exit.OK


def _after(first: Mapping[str, Any] | None, lines: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    if first is not None:
        yield first
    yield from lines
