"""Settings as TOML text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum

from emailsys.config.locations import without_password
from emailsys.config.server_keys import SERVICES
from emailsys.config.settings import Settings
from emailsys.config.values import shown_address, shown_duration, shown_size

_SIZES = frozenset(
    {"max_message_size", "max_header_size", "max_waiting_octets", "maildrop_cache", "max_returned", "default_quota"}
)
# Numbers that are not durations.
_NUMBERS = frozenset({"retry_growth", "retry_jitter", "history_days", "maildrop_days"})

#: The tables of the configuration behind [listen], in the order of the file.
SECTIONS = (
    "smtp",
    "pop3",
    "tls",
    "store",
    "login",
    "limits",
    "queue",
    "routing",
    "outbound",
    "sending",
    "monitoring",
    "wiretap",
    "web",
    "checks",
)


def render(settings: Settings, origins: Mapping[str, str] | None = None) -> str:
    """Return a configuration file with these settings, without the state folder and without passwords.

    @param origins: where the value of each key that is not a default comes from. Each line then ends with a comment.
    """
    lines = _Lines(origins)
    lines.add("", "hostname", toml_string(settings.hostname))
    for key in ("user", "group"):
        if (value := getattr(settings, key)) is not None:
            lines.add("", key, toml_string(value))
    lines.add("", "workers", str(settings.workers))
    lines.begin("[listen]")
    for name in SERVICES:
        pairs = getattr(settings, f"{name}_listen").addresses
        lines.add("listen", name, f"[{', '.join(toml_string(shown_address(*pair)) for pair in pairs)}]")
    for name in SECTIONS:
        section = getattr(settings, name)
        lines.begin(f"[{name}]")
        for field in fields(section):
            value = getattr(section, field.name)
            if value not in (None, "") and field.name not in ("certificates", "routes", "timeouts"):
                shown = without_password(value) if (name, field.name) == ("store", "url") else value
                lines.add(name, field.name, _shown(field.name, shown))
        if name == "tls":
            for number, pair in enumerate(settings.tls.certificates, 1):
                lines.elements.append("[[tls.certificates]]")
                for key in ("chain", "key"):
                    lines.add(f"tls.certificates[{number}]", key, toml_string(str(getattr(pair, key))))
        if name == "routing":
            for number, route in enumerate(settings.routing.routes, 1):
                lines.elements.append("[[routing.routes]]")
                for field in fields(route):
                    value = getattr(route, field.name)
                    # The password is only in its file.
                    if value not in (None, "") and field.name not in ("password", "secret"):
                        lines.add(f"routing.routes[{number}]", field.name, _shown(field.name, value))
    lines.begin("[outbound.timeouts]")
    for field in fields(settings.outbound.timeouts):
        value = getattr(settings.outbound.timeouts, field.name)
        lines.add("outbound.timeouts", field.name, _shown(field.name, value))
    return "\n".join(lines.elements) + "\n"


class _Lines:
    """The lines of a configuration file, each with the origin of its value if these are wanted."""

    def __init__(self, origins: Mapping[str, str] | None) -> None:
        self._origins = origins
        self.elements: list[str] = []

    def begin(self, table: str) -> None:
        self.elements += ["", table]

    def add(self, table: str, key: str, value: str) -> None:
        line = f"{key} = {value}"
        if self._origins is not None:
            # A whole list may come from one variable.
            paths = (f"{table}.{key}" if table else key, table.partition("[")[0])
            origin = next((self._origins[path] for path in paths if path in self._origins), "default")
            line += f"  # {origin}"
        self.elements.append(line)


def toml_string(value: str) -> str:
    """Return text as a TOML basic string."""
    # A TOML basic string escapes what a JSON string does (but DEL, which json leaves alone and TOML forbids).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _shown(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}" if name in _NUMBERS else shown_duration(value)
        case tuple():
            items = (shown_address(*item) if isinstance(item, tuple) else item for item in value)
            return f"[{', '.join(toml_string(item) for item in items)}]"
        case Enum():
            return toml_string(str(value.value))
        case int():
            return shown_size(value) if name in _SIZES else str(value)
        case _:
            return toml_string(str(value))
