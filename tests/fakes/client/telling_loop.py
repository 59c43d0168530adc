"""An event loop that tells when it has nothing left to do, for tests of full-screen programs.

Textual's pilot takes a process for idle that used no processor time for a fiftieth of a second. On a busy machine that
is a process that was not given any. This loop knows: nothing is ready to run, no timer is about to end, and no thread
works for it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple

from textual import app, pilot
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Seconds: a timer that ends within this time is part of what is under way. Textual draws sixty times a second.
_SOON: Final = 0.02
# Seconds to wait for a thread.
_FOR_THREADS: Final = 1.0
# Seconds to wait for anything else: a program that draws all the time is never idle.
_PATIENCE: Final = 5.0


class _Selector(selectors.DefaultSelector):
    """Asks what to do before the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.about_to_sleep: Callable[[], bool] = lambda: False

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > _SOON:
            found = super().select(0)
            if found or self.about_to_sleep():
                return found
        return super().select(timeout)


class TellingLoop(asyncio.SelectorEventLoop):
    """An event loop with `idle`."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.about_to_sleep = self._tell
        self._waiting: list[asyncio.Future[None]] = []
        self._threads = 0
        #: Seconds to wait for a thread; less in a test whose threads wait for one of its later steps.
        self.patience_with_threads = _FOR_THREADS

    @override
    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, future: object) -> None:
        self._threads -= 1

    def _tell(self) -> bool:
        """Tell those who wait that there is nothing to do. Return whether somebody waited."""
        if self._threads or not self._waiting:
            return False
        self.wake()
        return True

    def wake(self) -> None:
        """Let every waiting test go on, even if there is still work to do."""
        for one in self._waiting:
            if not one.done():
                one.set_result(None)
        self._waiting.clear()

    async def idle(self) -> None:
        """Wait until there is nothing to do."""
        waiter = self.create_future()
        self._waiting.append(waiter)
        limit = self.call_later(self.patience_with_threads if self._threads else _PATIENCE, self.wake)
        try:
            await waiter
        finally:
            limit.cancel()


def telling_loop() -> TellingLoop:
    """The loop of the test that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TellingLoop)
    return loop


async def _until_idle(*_: float) -> None:
    await telling_loop().idle()


def drive(case: SynchronousTestCase, steps: Coroutine[Any, Any, T]) -> T:
    """Run a test of a full-screen program on this loop; the pilot's pauses wait until it is idle."""
    for module in (app, pilot):
        case.patch(module, "wait_for_idle", _until_idle)
    with asyncio.Runner(loop_factory=TellingLoop) as runner:
        return runner.run(steps)
