"""Base of the contracts. None of them is a test case by itself: test runners would run it without a subclass."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase
else:
    TestCase = object

KIB: Final = 1024


class Contract(TestCase):
    """Tests for a subclass that is a TestCase of twisted.trial, too."""

    async def refused(self, kind: type[Exception], doing: Awaitable[Any]) -> Exception:
        """Await a failure with an exception, and return it."""
        try:
            await doing
        except kind as error:
            return error
        raise self.failureException(f"{kind.__name__} was expected")
