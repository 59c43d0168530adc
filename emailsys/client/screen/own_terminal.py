"""The terminal, given to another program: an editor, or pinentry, which asks for a passphrase."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from textual.app import App, SuspendNotSupported

from emailsys.client.base.ctrl_c import ctrl_c_left_to_child
from emailsys.client.compose.draft import ComposeError
from emailsys.client.screen.program import MailProgram

T = TypeVar("T")


def check_terminal_is_free(app: App[Any]) -> None:
    """Refuse to give the terminal away while a message is being sent: its connection would time out.

    @raise ComposeError: a message is being sent.
    """
    if isinstance(app, MailProgram) and app.is_transmitting():
        raise ComposeError("A message is being sent. Try again when it has been sent.")


async def with_terminal(app: App[Any], work: Callable[[], T]) -> T:
    """Run work that may start a program which asks on the terminal, and return its result.

    The screen is not drawn meanwhile. A program with a window of its own does not need the terminal.

    @raise ComposeError: a message is being sent.
    """
    check_terminal_is_free(app)
    try:
        return _suspended(app, work)
    except SuspendNotSupported:
        return await asyncio.to_thread(work)


async def run_program(app: App[Any], arguments: Sequence[str]) -> None:
    """Run a program that uses the terminal, and wait for its end. @raise OSError: it cannot be started."""
    try:
        _suspended(app, lambda: subprocess.run(arguments, check=False))  # noqa: S603
    except SuspendNotSupported:
        # The terminal cannot be released, for example in a browser. Editors with their own window do not need it.
        await asyncio.to_thread(subprocess.run, arguments, check=False, stdin=subprocess.DEVNULL, stdout=sys.__stderr__)


def _suspended(app: App[Any], work: Callable[[], T]) -> T:
    with app.suspend():
        # Blocks on purpose: the other program owns the terminal, and the screen must not draw.
        with ctrl_c_left_to_child():
            done = work()
        if isinstance(app, MailProgram):
            # A closed window ends the other program, too.
            app.discard_output_of_lost_terminal()
        return done
