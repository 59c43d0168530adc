"""Signals that end a command which has started daemons: they raise one exception, and never interrupt its cleanup."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import click

from emailsys.platforms.signals import ENDING, handled

_HEARD: Final = ("SIGINT", *ENDING)


class Ended(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP requests the end. No `except Exception` stops it."""


@contextmanager
def until_ended(cleanup: Callable[[], object], words: str) -> Iterator[None]:
    """Let a signal that requests the end raise `Ended` in the block, and call `cleanup` after the block.

    Code that a signal interrupts may replace the exception (Python does so in a class statement of a module that is
    being imported) or lose it (in a callback of C). The block then ends with `Ended` all the same. During `cleanup`,
    signals are ignored: a second Ctrl-C would leave daemons or files behind.

    @param words: printed to stderr before the cleanup if a signal has ended the block.
    """
    has_arrived = is_over = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal has_arrived
        has_arrived = True
        if not is_over:
            raise Ended

    with handled(_HEARD, end):
        try:
            yield
        except Exception as error:
            if has_arrived:
                raise Ended from error
            raise
        else:
            if has_arrived:
                raise Ended
        finally:
            is_over = True
            with handled(_HEARD, signal.SIG_IGN):
                if has_arrived:
                    with suppress(OSError):
                        click.echo(f"\n{words}", err=True)
                cleanup()
