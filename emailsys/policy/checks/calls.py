"""Calls of plugins: each has a deadline, and a plugin that blocks the reactor is named in the log."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator
from types import CoroutineType
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from emailsys.telemetry import Telemetry
from emailsys.upstream import current_frames

# Seconds of one step of a plugin, from which on it blocks the reactor: other sessions wait meanwhile.
BLOCKED: Final = 0.1
# Seconds after which a step that has not ended is told, with the line at which it is.
_STUCK: Final = 1.0
# Python ends coroutines by these exceptions. One that a plugin raises would end the coroutine that called the plugin.
_ENDS_OF_COROUTINES: Final = (GeneratorExit, StopIteration)


class TooLate(Exception):
    """A plugin has no answer in time."""


class Calls:
    """Calls plugins in the reactor's thread.

    @param measure: returns seconds of a clock that goes on while the reactor is blocked.
    """

    def __init__(
        self,
        clock: IReactorTime,
        deadline: float,
        telemetry: Telemetry,
        measure: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self.deadline = deadline
        self._telemetry = telemetry
        self._measure = measure
        # The step that is being run: the name of its plugin, and when it began.
        self._step: tuple[str, float] | None = None
        self._watch: threading.Thread | None = None
        self._stopping = threading.Event()

    async def call(self, name: str, method: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of a plugin, and return its result.

        @raise TooLate: it has no result in time. What it waits for was cancelled.
        @raise Exception: that of the plugin.
        """
        result = self.begin(name, method, arguments)
        return await self.in_time(result) if isinstance(result, Deferred) else result

    def begin(self, name: str, method: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
        """Call a method of a plugin, and return its result, or a Deferred for `in_time` if the plugin waits.

        Most answers are found without a wait, and cost neither a Deferred nor a timer then.

        @raise Exception: that of the plugin.
        """
        began = self._measure()
        self._step = (name, began)
        try:
            coroutine = method(*arguments)
            if type(coroutine) is not CoroutineType:
                return coroutine
            try:
                waiting = coroutine.send(None)
            except StopIteration as ended:
                return ended.value
        except _ENDS_OF_COROUTINES as error:
            raise _as_fault(error) from error
        finally:
            self._step = None
            if self._measure() - began >= BLOCKED:
                self._tell_blocked(name, began)
        return Deferred.fromCoroutine(_Rest(self, name, coroutine, waiting).run())

    async def in_time(self, result: Deferred[Any]) -> Any:
        """Return the result of a plugin that waits.

        If the caller is cancelled, so is what the plugin waits for.

        @raise TooLate: it has no result in time.
        @raise Exception: that of the plugin.
        """
        # Fired at the deadline even if the plugin ignores that its wait was cancelled.
        ended: Deferred[Any] = Deferred()

        def late() -> None:
            ended.errback(Failure(TooLate()))
            result.cancel()

        def done(outcome: Any) -> None:
            if isinstance(outcome, Failure) and isinstance(outcome.value, _ENDS_OF_COROUTINES):
                outcome = Failure(_as_fault(outcome.value))
            if not ended.called:
                ended.callback(outcome)

        timer = self._clock.callLater(self.deadline, late)
        _ = result.addBoth(done)
        try:
            return await ended
        except CancelledError:
            # The caller has given up. Nothing would limit the wait of the plugin from here on.
            result.cancel()
            raise
        finally:
            if timer.active():
                timer.cancel()

    def _timed(self, name: str, step: Callable[[], Any]) -> Any:
        began = self._measure()
        self._step = (name, began)
        try:
            return step()
        finally:
            self._step = None
            if self._measure() - began >= BLOCKED:
                self._tell_blocked(name, began)

    def _tell_blocked(self, name: str, began: float) -> None:
        self._telemetry.event("check-blocked", check=name, seconds=round(self._measure() - began, 3))

    # A step that never ends cannot be timed by its own thread

    def watch(self) -> None:
        """Begin to watch for a step that does not end."""
        thread = threading.get_ident()
        self._watch = threading.Thread(target=self._look, args=(thread,), name="checks", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """End the watch."""
        self._stopping.set()

    def _look(self, thread: int) -> None:
        told: tuple[str, float] | None = None
        while not self._stopping.wait(_STUCK / 2):
            step = self._step
            if step is None or step is told or self._measure() - step[1] < _STUCK:
                continue
            frame = current_frames().get(thread)
            if self._step is not step or frame is None:
                continue
            told = step
            at = traceback.extract_stack(frame)[-1]
            self._telemetry.alarm("check-stuck", check=step[0], at=f"{at.filename}:{at.lineno}", function=at.name)


class _Rest:
    """A coroutine of a plugin after its first wait."""

    def __init__(self, calls: Calls, name: str, coroutine: CoroutineType[Any, Any, Any], waiting: Any) -> None:
        self._calls = calls
        self._name = name
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, waiting = self._coroutine, self._waiting
        while True:
            step: Callable[[], Any]
            if isinstance(waiting, Deferred):
                try:
                    result = yield waiting
                    step = _bound(coroutine.send, result)
                except Exception as error:
                    step = _bound(coroutine.throw, error)
            else:
                what = f"{type(waiting).__name__} was awaited, which is no Deferred of Twisted"
                step = _bound(coroutine.throw, TypeError(what))
            try:
                waiting = self._calls._timed(self._name, step)
            except StopIteration as ended:
                return ended.value

    async def run(self) -> Any:
        """Return the result of the coroutine."""
        return await self


def _bound(step: Callable[[Any], Any], argument: Any) -> Callable[[], Any]:
    return lambda: step(argument)


def _as_fault(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the plugin raised {type(error).__name__}")
