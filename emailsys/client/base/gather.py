"""Await several things that go on side by side."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.python.failure import Failure

T = TypeVar("T")


async def gather_or_raise(waiting: Iterable[Deferred[T]]) -> list[T]:
    """The results in order. @raise Exception: the first one that any of them raises, at once."""
    try:
        return await gatherResults(waiting, consumeErrors=True)
    except FirstError as first:
        failure: Failure = first.subFailure
        assert failure.value is not None
        raise failure.value from None


async def gather_all(coroutines: Iterable[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """The results in order, when all have ended. @raise Exception: the first in order that any of them raised."""
    outcomes = await DeferredList([Deferred.fromCoroutine(one) for one in coroutines], consumeErrors=True)
    results: list[T] = []
    for fine, outcome in outcomes:
        if not fine:
            cast(Failure, outcome).raiseException()
        results.append(outcome)
    return results
