"""Order of keys that come in one burst: each is for the field, list or dialog that the keys before it lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

# Seconds after which a key waits no longer: for a field that is being removed, or for a dialog that does not open.
_PATIENCE: Final = 2.0
# Seconds after which a key no longer waits for the first list.
_PATIENCE_AT_START: Final = 30.0


async def keys_handled(widget: Widget | None) -> None:
    """Wait until a widget has handled the keys that it got so far. None: return at once."""
    done = asyncio.Event()
    if widget is not None and widget.call_later(done.set):
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _PATIENCE)


def consumes(widget: Widget | None, event: events.Key) -> bool:
    """Whether a key is text for a widget, and calls no action."""
    return widget is not None and widget.check_consume_key(event.key, event.character)


class Question:
    """Mixin for a dialog that ignores the keys that were typed before it was made."""

    def __init__(self) -> None:
        super().__init__()
        #: When it was made, by the clock of Textual's events.
        self.asked_at = Message().time


class KeyOrder:
    """Work of a screen that keys wait for: it opens a dialog, or shows another list."""

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen
        self._workers: dict[object, Worker[None]] = {}
        self._changed = asyncio.Event()
        # Whether a key has waited in vain. The next ones do not wait.
        self._is_slow = False

    @property
    def is_busy(self) -> bool:
        """Whether work is under way, which may have opened a dialog and wait for its answer."""
        # A worker that is cancelled before it starts never ends.
        return any(not worker.is_cancelled for worker in self._workers.values())

    def start(self, work: Callable[[], Coroutine[Any, Any, None]], group: str, exclusive: bool = False) -> None:
        """Run work in a worker. @param exclusive: whether it ends the former worker of its group."""
        number = object()

        async def run() -> None:
            try:
                await work()
            finally:
                self._workers.pop(number, None)
                self._changed.set()
                self._screen.refresh_bindings()

        worker: Callable[[], Any] = run
        self._is_slow = False
        self._workers[number] = self._screen.run_worker(worker, exclusive=exclusive, group=group)

    async def settle(self) -> None:
        """Wait, but not for long, until the work has ended or another screen is open."""
        screen, app = self._screen, self._screen.app
        signal = app.screen_change_signal
        if self._is_slow or not screen.is_running:
            return
        signal.subscribe(screen, lambda opened: self._changed.set(), immediate=True)
        try:
            async with asyncio.timeout(_PATIENCE):
                # Not is_current: a screen is current while it is seen behind a dialog.
                while self.is_busy and app.screen is screen:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._is_slow = True
        finally:
            signal.unsubscribe(screen)


@runtime_checkable
class OrdersKeys(Protocol):
    """A screen whose keys open dialogs."""

    key_order: KeyOrder


class KeyGate:
    """Keeps each key back until the screen that it is for can take it."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        # The screen that took the last key.
        self._screen: Screen[Any] | None = None
        self._is_open = asyncio.Event()
        # When keys began to act, by the clock of Textual's events.
        self._opened_at = 0.0

    def open(self) -> None:
        """Let keys act: the first list is shown."""
        if not self._is_open.is_set():
            self._opened_at = Message().time
            self._is_open.set()

    def as_typed(self, event: events.Key) -> events.Key:
        """Return a key as it was typed. Before the program took the terminal, this made Ctrl-J from Enter."""
        is_early = not self._is_open.is_set() or event.time < self._opened_at
        return events.Key("enter", "\r") if event.key == "ctrl+j" and is_early else event

    async def lets_pass(self, event: events.Event) -> bool:
        """Wait until the current screen takes keys. Return whether this key or paste may go there."""
        app = self._app
        if not self._is_open.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_open.wait(), _PATIENCE_AT_START)
            self.open()
        while True:
            screen = app.screen
            if screen is not self._screen:
                # It gets its focus as the first thing.
                await keys_handled(screen)
                self._screen = screen
            if isinstance(screen, OrdersKeys):
                await screen.key_order.settle()
            if screen is app.screen:
                is_early = isinstance(screen, Question) and event.time < screen.asked_at
                # While the program ends, keys do nothing: they were typed for the shell.
                return not is_early and app.return_code is None
