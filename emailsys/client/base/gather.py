"""Concurrent waiting for several Deferreds or coroutines."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredList, FirstError, gatherResults
from twisted.python.failure import Failure

T = TypeVar("T")


async def gather_or_raise(waiting: Iterable[Deferred[T]]) -> list[T]:
    """Return the results in order. @raise Exception: the first failure, as soon as it happens."""
    try:
        return await gatherResults(waiting, consumeErrors=True)
    except FirstError as first:
        failure: Failure = first.subFailure
        assert failure.value is not None
        raise failure.value from None


async def gather_all(coroutines: Iterable[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """Wait until all have ended, and return the results in order. @raise Exception: the first failure in order."""
    outcomes = await DeferredList([Deferred.fromCoroutine(one) for one in coroutines], consumeErrors=True)
    results: list[T] = []
    for is_success, outcome in outcomes:
        if not is_success:
            cast(Failure, outcome).raiseException()
        results.append(outcome)
    return results
