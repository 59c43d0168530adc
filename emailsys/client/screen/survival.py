"""Failures of the full screen that end no program: an unexpected exception is shown, and the next key works."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, runtime_checkable

from typing_extensions import override

from emailsys.upstream import SurvivingPump


@runtime_checkable
class ShowsFailures(Protocol):
    """The program, which has notifications."""

    def show_failure(self, error: Exception) -> None:
        """Show an exception to the user, and record it if it was unexpected."""
        ...


class Surviving(SurvivingPump):
    """Mixin for screens and widgets: exceptions of handlers, timers and workers are shown.

    It stands before the class of Textual among the bases.
    """

    app: Any

    @override
    def handler_failed(self, error: Exception) -> None:
        if isinstance(self.app, ShowsFailures):
            self.app.show_failure(error)

    def guarded(self, work: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], Any]:
        """Return the work of a worker or a timer as a function that shows its exception.

        It makes the coroutine when it is called: a worker that is cancelled before it starts leaves none.
        """

        async def run() -> None:
            try:
                await work()
            except Exception as error:
                self.handler_failed(error)

        return run
