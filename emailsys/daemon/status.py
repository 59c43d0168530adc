"""The status of the daemon, as the command `status` at the control socket answers it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from emailsys import __version__
from emailsys.config.settings import Settings
from emailsys.control.request_values import time_field
from emailsys.delivery.queue_runner import QueueRunner
from emailsys.store.message.intake import ROOM
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.daemon.worker_pool import Workers

# Next hops in the answer: those with an alarm first, then the busiest.
_NEXT_HOPS: Final = 20


@dataclass(frozen=True, slots=True)
class StoreCondition:
    """Where the store is, why no mail can be accepted (None if it can), and whether its files cannot be trusted."""

    location: str
    problem: str | None
    untrusted: bool


def describe_daemon(
    settings: Settings,
    telemetry: Telemetry,
    uptime: float,
    listening: Mapping[str, Sequence[str]],
    sessions: Mapping[str, int],
    runner: QueueRunner | None,
    store: Store | None,
    condition: StoreCondition,
    certificates: Mapping[str, Any],
    workers: Workers | None,
) -> Mapping[str, Any]:
    """Return the status as a JSON object; times are in seconds, `disk` is in octets."""
    damaged = [] if store is None else [*store.database.damage.first_known()]
    if workers is not None:
        damaged += [message for message in workers.damaged if message not in damaged]
    return {
        "pid": os.getpid(),
        "version": __version__,
        "hostname": settings.hostname,
        "state": str(settings.state),
        "config": None if settings.source is None else str(settings.source),
        "listening": dict(listening),
        "uptime": round(uptime, 1),
        "sessions": dict(sessions),
        "workers": None if workers is None else workers.status(),
        "outbound": settings.outbound.enabled,
        "next_hops": [
            {
                "name": hop.name,
                "held": hop.held,
                "active": hop.under_way,
                "paused_until": time_field(hop.paused_until),
                "reason": hop.reason,
                "alarm": hop.alarm,
            }
            for hop in (runner.status()[:_NEXT_HOPS] if runner is not None else ())
        ],
        "disk": _disk(settings, store),
        "store": {
            "location": condition.location,
            "problem": condition.problem,
            "untrusted": condition.untrusted,
        },
        "certificates": dict(certificates),
        "damaged": damaged,
        "counters": dict(telemetry.counters),
    }


def _disk(settings: Settings, store: Store | None) -> Mapping[str, int] | None:
    """Return the octets that are free for mail and those required to accept mail; None if the disk is not local."""
    free = store.database.engine.free_octets() if store is not None else None
    if free is None:
        return None
    return {"free": max(0, free), "required": int(ROOM * settings.smtp.max_message_size)}
