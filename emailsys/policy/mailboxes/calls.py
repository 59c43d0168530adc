"""Calls of a plugin's realm and mailboxes: each has a deadline, and a thread if it may block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from emailsys.extension import CheckFailed, INonBlocking
from emailsys.interfaces import MaildropInUse, MaildropLost, StoreError
from emailsys.policy.checks.calls import Calls, TooLate
from emailsys.telemetry import Telemetry

# Calls that one thread, or one turn of the reactor, makes in a row: a list of 10,000 messages takes 10,000 calls.
_AT_ONCE: Final = 200

Arguments = Sequence[tuple[object, ...]]


class Threads(Protocol):
    """Threads for calls that block, such as `emailsys.policy.mailboxes.threads`."""

    def run(self, work: Callable[[], Any], ended: Callable[[Any, bool], None]) -> Deferred[Any]:
        """Return a Deferred of the result of a function that a thread calls.

        @param ended: called with the result or a Failure, and whether the Deferred still waited for it.
        """


@dataclass(frozen=True, slots=True)
class MailboxPlugin:
    """The parts that all calls of one plugin share. `name` is that of the plugin in the configuration."""

    name: str
    calls: Calls
    threads: Threads
    clock: Any
    telemetry: Telemetry

    def fault(self) -> StoreError:
        """Log the exception that is being handled, and return the one that clients are told of."""
        failure = Failure()
        self.telemetry.exception("mailbox-exception", failure, plugin=self.name)
        return StoreError(f"the plugin {self.name} failed")


def may_block(called: object) -> bool:
    """Return whether the methods of a realm or a mailbox need a thread."""
    return not INonBlocking.providedBy(called)


class Caller:
    """Calls the methods of one realm or mailbox, one after the other."""

    def __init__(self, plugin: MailboxPlugin, blocks: bool, dropped: Callable[[Any], None] | None = None) -> None:
        """
        @param blocks: whether the methods are called in a thread.
        @param dropped: called with each result of a thread that came after the deadline.
        """
        self._plugin = plugin
        self._blocks = blocks
        self._dropped = dropped
        # After a call that was late. Its thread may still be in the mailbox, which is not made for two threads.
        self._is_late = False
        self._running = 0
        self._when_idle: list[Callable[[], object]] = []

    async def call(self, method: Callable[..., Any], *arguments: object) -> Any:
        """Return the result of a method. Raises as `each` does."""
        return (await self.each(method, [arguments]))[0]

    async def each(self, method: Callable[..., Any], arguments: Arguments) -> list[Any]:
        """Return the results of a method that is called once with each of the arguments.

        @raise StoreError: a call failed, or had no result in time. The log says so.
        @raise MaildropInUse, MaildropLost: the plugin says so.
        """
        plugin, results = self._plugin, []
        for start in range(0, len(arguments), _AT_ONCE):
            if self._is_late:
                raise StoreError(f"the plugin {plugin.name} was late")
            if start and not self._blocks:
                await deferLater(plugin.clock, 0)
            step = self._in_thread if self._blocks else self._here
            try:
                results += await plugin.calls.call(plugin.name, step, method, arguments[start : start + _AT_ONCE])
            except TooLate:
                self._is_late = True
                plugin.telemetry.event("mailbox-late", plugin=plugin.name, seconds=plugin.calls.deadline)
                raise StoreError(f"the plugin {plugin.name} has no answer in time") from None
            except (CancelledError, StoreError, MaildropInUse, MaildropLost):
                raise
            except CheckFailed as failed:
                why = " ".join(str(failed).split())
                plugin.telemetry.event("mailbox-failed", plugin=plugin.name, why=why)
                raise StoreError(f"the plugin {plugin.name} failed: {why}") from None
            except (Exception, SystemExit):
                raise plugin.fault() from None
        return results

    @property
    def is_running(self) -> bool:
        """Whether a thread is in the mailbox."""
        return self._running > 0

    def when_idle(self, then: Callable[[], object]) -> None:
        """Call a function as soon as no thread is in the mailbox: now, if none is."""
        if self._running:
            self._when_idle.append(then)
        else:
            then()

    async def _here(self, method: Callable[..., Any], arguments: Arguments) -> list[Any]:
        results = []
        for one in arguments:
            result = method(*one)
            results.append(await result if isinstance(result, Awaitable) else result)
        return results

    async def _in_thread(self, method: Callable[..., Any], arguments: Arguments) -> list[Any]:
        self._running += 1
        results = await self._plugin.threads.run(lambda: [method(*one) for one in arguments], self._ended)
        if not any(isinstance(result, Awaitable) for result in results):
            return list(results)
        # All of them end before the first failure is raised: none fails unseen.
        ended = await DeferredList([_as_deferred(result) for result in results], consumeErrors=True)
        for is_done, outcome in ended:
            if not is_done:
                outcome.raiseException()
        return [outcome for _, outcome in ended]

    def _ended(self, results: Any, is_wanted: bool) -> None:
        self._running -= 1
        if not is_wanted and self._dropped is not None and not isinstance(results, Failure):
            for result in results:
                self._dropped(result)
        if not self._running:
            waiting, self._when_idle = self._when_idle, []
            for then in waiting:
                then()


async def _awaited(result: Any) -> Any:
    return await result if isinstance(result, Awaitable) else result


def _as_deferred(result: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(_awaited(result))
