"""Configuration keys of the web face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.config.values import Read, a_boolean, a_count, a_duration, host_names, listen_addresses

WEB: Final[Mapping[str, Read]] = {
    "listen": listen_addresses,
    "behind_proxy": a_boolean,
    "hosts": host_names,
    "idle_timeout": a_duration(minimum=60),
    "session_timeout": a_duration(minimum=60, maximum=30 * 86400.0),
    "max_connections": a_count(minimum=10, maximum=100_000),
    "max_connections_per_ip": a_count(minimum=0, maximum=100_000),
}
