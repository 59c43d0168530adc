"""The terminal, given to a program that asks the user something, such as pinentry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App, SuspendNotSupported

T = TypeVar("T")


async def with_terminal(app: App[Any], work: Callable[[], T]) -> T:
    """Run work that may start a program which asks on the terminal, and return its result.

    The screen is not drawn meanwhile. A program with a window of its own does not need the terminal.
    """
    try:
        with app.suspend():
            # Blocks on purpose: the other program owns the terminal.
            return work()
    except SuspendNotSupported:
        return await asyncio.to_thread(work)
