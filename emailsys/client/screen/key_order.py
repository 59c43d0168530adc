"""Order of keys that come in one burst: each is for the field or the dialog that the keys before it lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from textual.screen import Screen
from textual.widget import Widget

# Seconds after which a field is left that handles no keys: it is being removed.
_PATIENCE: Final = 2.0


async def keys_handled(widget: Widget | None) -> None:
    """Wait until a widget has handled the keys that it got so far. None: return at once."""
    done = asyncio.Event()
    if widget is not None and widget.call_later(done.set):
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _PATIENCE)


async def open_dialog(screen: Screen[Any], work: Callable[[], Coroutine[Any, Any, None]], group: str) -> None:
    """Run work that opens a dialog, after the keys before it. Return when the dialog takes keys, or when none opens.

    @param work: runs in a worker of this group, which ends a former one.
    """
    await keys_handled(screen.focused)
    changed = asyncio.Event()

    async def run() -> None:
        try:
            await work()
        finally:
            changed.set()

    worker: Callable[[], Any] = run
    signal = screen.app.screen_change_signal
    signal.subscribe(screen, lambda opened: changed.set(), immediate=True)
    try:
        screen.run_worker(worker, exclusive=True, group=group)
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _PATIENCE)
    finally:
        signal.unsubscribe(screen)
    if not screen.is_current:
        # It gets its focus as the first thing.
        await keys_handled(screen.app.screen)
