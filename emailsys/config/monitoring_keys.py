"""Configuration keys for metrics, logs and recorded connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.config.monitoring_settings import LogFormat, LogThreshold
from emailsys.config.values import Read, a_boolean, a_count, a_file_name, a_size, listen_addresses, one_of

MONITORING: Final[Mapping[str, Read]] = {
    "metrics_listen": listen_addresses,
    "log_format": one_of(LogFormat),
    "log_level": one_of(LogThreshold),
    "mail_log": a_file_name,
}


WIRETAP: Final[Mapping[str, Read]] = {
    "enabled": a_boolean,
    "conversations": a_count(minimum=1, maximum=100_000),
    "octets_per_conversation": a_size(minimum=16 * 1024, maximum=64 * 1024 * 1024),
    "keep_bodies": a_boolean,
}
