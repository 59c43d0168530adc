"""When a delayed recipient is tried again, when its sender is warned, and when we give up (RFC 5321 §4.5.4.1)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from emailsys.config.settings import QueueSettings

# Beyond so many attempts an interval does not grow any more; else the power would leave the range of a float.
_MAX_GROWTHS: Final = 64


@dataclass(frozen=True, slots=True)
class Step:
    """What follows an attempt that did not succeed: the next one, or the end where `due_at` is None."""

    due_at: datetime | None
    # The sender should be told by now.
    warn: bool


def gives_up_at(settings: QueueSettings, arrived_at: datetime) -> datetime:
    """When the last attempt is made."""
    return arrived_at + timedelta(seconds=settings.give_up_after)


def interval(settings: QueueSettings, attempts: int, chance: float) -> float:
    """Seconds from an attempt to the next.

    @param attempts: how many attempts were made before it.
    @param chance: evenly from 0 to 1; it spreads what was delayed together.
    """
    growths = min(attempts, _MAX_GROWTHS)
    seconds = min(settings.first_retry * settings.retry_growth**growths, settings.max_retry)
    return seconds * (1 + settings.retry_jitter * (2 * chance - 1))


def after_attempt(
    settings: QueueSettings, attempts: int, arrived_at: datetime, now: datetime, warned: bool, chance: float
) -> Step:
    """What follows an attempt at `now` that a transient failure ended.

    An attempt is made at the very moments of the warning and of the end, so that both tell how things stand then.
    """
    end = gives_up_at(settings, arrived_at)
    if now >= end:
        return Step(None, False)
    warning = arrived_at + timedelta(seconds=settings.warn_after)
    due = min(now + timedelta(seconds=interval(settings, attempts, chance)), end)
    if now < warning < due:
        due = warning
    return Step(due, not warned and now >= warning)


class ForecastKind(enum.Enum):
    """What `emailsys queue forecast` tells of."""

    ATTEMPT_FAILS = "attempt fails"
    WARNING = "the sender is told of the delay"
    DELIVERED = "delivered"
    GIVEN_UP = "given up, the sender is told"


@dataclass(frozen=True, slots=True)
class Forecast:
    """One thing that will happen."""

    at: datetime
    kind: ForecastKind


def forecast(
    settings: QueueSettings, arrived_at: datetime, up_at: datetime, draw: Callable[[], float]
) -> Iterator[Forecast]:
    """What would happen to a message for a host that is down until `up_at`: the schedule above, run ahead of time.

    @param draw: evenly from 0 to 1, at each call anew.
    """
    now, attempts, warned = arrived_at, 0, False
    while now < up_at:
        yield Forecast(now, ForecastKind.ATTEMPT_FAILS)
        step = after_attempt(settings, attempts, arrived_at, now, warned, draw())
        if step.due_at is None:
            yield Forecast(now, ForecastKind.GIVEN_UP)
            return
        if step.warn:
            warned = True
            yield Forecast(now, ForecastKind.WARNING)
        now, attempts = step.due_at, attempts + 1
    yield Forecast(now, ForecastKind.DELIVERED)
