"""The user's editor, as a process that has the terminal until it ends."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from emailsys.cli.mail.ending_signals import EndedBySignal, ending_signals_postponed
from emailsys.client.base.ctrl_c import ctrl_c_left_to_child

_EDITORS: Final = ("sensible-editor", "vim", "nano")
# Seconds that an editor has to save its text when a signal ends it.
_TO_SAVE: Final = 10.0


class EditorFailed(Exception):
    """The editor cannot be started, or ended with an error. The message can be shown to the user."""


def _command() -> str:
    """Return the command of the editor: $VISUAL, $EDITOR, or the first that is installed."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named:
        return named
    return "notepad" if os.name == "nt" else next(filter(shutil.which, _EDITORS), "vi")


def _terminal_restorer() -> Callable[[], None]:
    """Return a function that sets the terminal as it is now: an editor that is killed does not."""
    if sys.platform == "win32":
        return lambda: None
    import termios

    try:
        before = termios.tcgetattr(0)
    except termios.error:
        # Standard input is no terminal.
        return lambda: None

    def restore() -> None:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, before)

    return restore


def run_editor(path: Path) -> None:
    """Let the user edit a file, and wait for the end of the editor.

    If a signal ends this program, the editor gets it, too: vim and nano then save what was typed beside the file.

    @raise EditorFailed: it cannot be started, or ended with an error.
    @raise EndedBySignal: within `ending_signals_raised`.
    """
    command = _command()
    try:
        words = shlex.split(command)
    except ValueError as error:
        # A quote that is not closed.
        raise EditorFailed(f"$VISUAL or $EDITOR: {error}") from None
    restore_terminal = _terminal_restorer()
    with ctrl_c_left_to_child():
        try:
            # An exception in here would lose the process that was started.
            with ending_signals_postponed() as came:
                process = subprocess.Popen([*words, str(path)])  # noqa: S603
        except OSError as error:
            raise EditorFailed(f"{command}: {error.strerror}") from None
        try:
            if came:
                raise EndedBySignal(came[0])
            status = process.wait()
        except EndedBySignal as ended:
            with suppress(OSError, subprocess.TimeoutExpired):
                process.send_signal(ended.number)
                process.wait(_TO_SAVE)
            restore_terminal()
            raise
    if status:
        raise EditorFailed(f"{command}: it ended with the status {status}")
