"""Attackers in a process of their own, so that their threads do not slow down the clients that measure."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Stop(Protocol):
    """An event that ends the work, shared by both processes."""

    def is_set(self) -> bool:
        """Whether the work is to end."""

    def wait(self, timeout: float) -> bool:
        """Wait for the end; return whether it came."""


class Apart(Generic[T]):
    """A function that runs in a process of its own, from `begin` on. Fork it before this process has threads."""

    def __init__(self, work: Callable[[Stop], T]) -> None:
        fork: Any = multiprocessing.get_context("fork")
        self._go, self._stop, self._results = fork.Event(), fork.Event(), fork.SimpleQueue()
        self._work = work
        self._process = fork.Process(target=self._run, daemon=True)
        self._process.start()

    def _run(self) -> None:
        self._go.wait()
        self._results.put(self._work(self._stop))

    def begin(self) -> None:
        """Let the function start."""
        self._go.set()

    def result(self) -> T:
        """Wait for the result of the function."""
        result: T = self._results.get()
        self._process.join()
        return result

    def end(self) -> T:
        """Set the event, and wait for the result."""
        self._stop.set()
        return self.result()
