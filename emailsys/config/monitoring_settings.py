"""Settings for metrics, logs and recorded connections, read by the loader and passed around."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class LogFormat(enum.Enum):
    """The format of the log. AUTO is one for people on a terminal, and PLAIN elsewhere."""

    AUTO = "auto"
    PLAIN = "plain"
    JSON = "json"


class LogThreshold(enum.Enum):
    """The lowest level of events that the log has."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """Metrics and logs."""

    # Addresses of /metrics for Prometheus (HTTP). None by default, because it has no password.
    metrics_listen: tuple[tuple[str, int], ...] = ()
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogThreshold = LogThreshold.INFO
    # A file that gets only events, one on each line. It is reopened at SIGHUP.
    mail_log: Path | None = None


@dataclass(frozen=True, slots=True)
class WiretapSettings:
    """Recording of connections."""

    # Whether connections are recorded all the time. Otherwise, they are recorded only while an operator watches.
    enabled: bool = False
    # How many conversations are kept, and the memory for each, in octets.
    conversations: int = 200
    octets_per_conversation: int = 64 * 1024
    # Whether the beginnings of messages are recorded.
    keep_bodies: bool = False
