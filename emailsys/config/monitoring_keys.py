"""Configuration keys for metrics and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.config.settings import LogFormat
from emailsys.config.values import Read, a_file_name, listen_addresses, one_of

MONITORING: Final[Mapping[str, Read]] = {
    "metrics_listen": listen_addresses,
    "log_format": one_of(LogFormat),
    "mail_log": a_file_name,
}
