"""Retry schedule: computes the date of the next attempt, of the delay warning and of the expiry (RFC 5321 §4.5.4.1)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from emailsys.config.settings import QueueSettings

# Number of attempts after which the interval stops growing; beyond it the power would exceed the range of a float.
_MAX_GROWTHS: Final = 64
# Seconds by which a row may be rescheduled because its next hop has no room (see `destinations`), and the difference
# that clocks may have.
_MOST_POSTPONEMENT: Final = 300.0
_TOLERANCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """The step after an attempt that failed for now. `due_at` is the next attempt, or None if the recipient expires."""

    due_at: datetime | None
    # Whether to warn the sender of the delay.
    warn: bool


def gives_up_at(settings: QueueSettings, age_start: datetime) -> datetime:
    """Return the time of the last attempt.

    @param age_start: the arrival of the message, or later (see `QueueRow.age_start`).
    """
    return age_start + timedelta(seconds=settings.give_up_after)


def interval(settings: QueueSettings, attempts: int, chance: float) -> float:
    """Return the seconds between an attempt and the next one.

    @param attempts: the number of attempts before it.
    @param chance: a random number between 0 and 1; it spreads retries of recipients that were delayed together.
    """
    growths = min(attempts, _MAX_GROWTHS)
    seconds = min(settings.first_retry * settings.retry_growth**growths, settings.max_retry)
    return seconds * (1 + settings.retry_jitter * (2 * chance - 1))


def latest_date(settings: QueueSettings) -> float:
    """Return the seconds from now within which every row is due that is not held. A later date is wrong."""
    return max(settings.max_retry * (1 + settings.retry_jitter), settings.lease, _MOST_POSTPONEMENT) + _TOLERANCE


def after_attempt(
    settings: QueueSettings, attempts: int, age_start: datetime, now: datetime, warned: bool, chance: float
) -> Step:
    """Return the step after an attempt at `now` that failed for now.

    An attempt is made exactly at the times of the warning and of the expiry, so that both notices are up to date.
    """
    end = gives_up_at(settings, age_start)
    if now >= end:
        return Step(None, False)
    warning = age_start + timedelta(seconds=settings.warn_after)
    due = min(now + timedelta(seconds=interval(settings, attempts, chance)), end)
    if now < warning < due:
        due = warning
    return Step(due, not warned and now >= warning)


class ForecastKind(enum.Enum):
    """The kinds of events that `emailsys queue forecast` shows."""

    ATTEMPT_FAILS = "attempt fails"
    WARNING = "the sender gets a warning of the delay"
    DELIVERED = "delivered"
    GIVEN_UP = "failed, the sender gets a notice"


@dataclass(frozen=True, slots=True)
class Forecast:
    """One expected event."""

    at: datetime
    kind: ForecastKind


def forecast(
    settings: QueueSettings, arrived_at: datetime, up_at: datetime, draw: Callable[[], float]
) -> Iterator[Forecast]:
    """Return the expected events of a message for a host that is down until `up_at`, by the schedule above.

    @param draw: returns a new random number between 0 and 1 at each call.
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
