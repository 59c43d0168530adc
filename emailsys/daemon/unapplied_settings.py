"""Settings that a reload does not apply: those of the configuration file that changed since the start of the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from emailsys.config.loader import ConfigError, load
from emailsys.config.settings import Listen, Settings
from emailsys.telemetry import Telemetry


class SettingsWatch:
    """Logs at SIGHUP which settings need a restart, because the daemon reads its configuration only when it starts."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._source = settings.source
        self._state = settings.state
        self._telemetry = telemetry
        # Those of the daemon may differ from the file: a free port in place of 0, fewer connections.
        try:
            self._read = load(self._source, self._state)
        except ConfigError:
            # The user of the daemon cannot read the file. The next comparison says so.
            self._read = settings

    def report(self) -> None:
        """Compare the file with what the daemon read at its start, and log the difference."""
        try:
            found = load(self._source, self._state)
        except ConfigError as error:
            self._telemetry.event("config-refused", why="; ".join(error.problems))
            return
        keys = list(changed_keys(self._read, found))
        if keys:
            self._telemetry.event("restart-needed", settings=",".join(keys))


def changed_keys(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the key paths of the settings that differ, as the configuration writes them."""
    for field in fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new or field.name in ("state", "source"):
            continue
        if isinstance(old, Listen):
            yield f"listen.{field.name.removesuffix('_listen')}"
        elif is_dataclass(old):
            yield from changed_keys(old, new, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}"
