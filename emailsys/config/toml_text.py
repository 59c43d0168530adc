"""Settings as TOML text."""

from __future__ import annotations

import json
from dataclasses import fields
from enum import Enum

from emailsys.config.server_keys import SERVICES
from emailsys.config.settings import OutboundTimeouts, Settings
from emailsys.config.values import shown_address, shown_duration, shown_size

_SIZES = frozenset({"max_message_size", "max_header_size", "max_waiting_octets", "max_returned", "default_quota"})
# Numbers that are not durations.
_NUMBERS = frozenset({"retry_growth", "retry_jitter", "history_days", "maildrop_days"})

_SECTIONS = ("smtp", "pop3", "tls", "store", "login", "limits", "queue", "routing", "outbound", "sending", "monitoring")


def render(settings: Settings) -> str:
    """Return a configuration file with these settings, without the state folder."""
    lines = [f"hostname = {_text(settings.hostname)}"]
    lines += [f"{key} = {_text(value)}" for key in ("user", "group") if (value := getattr(settings, key)) is not None]
    lines += ["", "[listen]"]
    for name in SERVICES:
        pairs = getattr(settings, f"{name}_listen").addresses
        lines.append(f"{name} = [{', '.join(_text(shown_address(*pair)) for pair in pairs)}]")
    for name in _SECTIONS:
        section = getattr(settings, name)
        lines += ["", f"[{name}]"]
        for field in fields(section):
            value = getattr(section, field.name)
            if value not in (None, "") and field.name not in ("certificates", "routes", "timeouts"):
                lines.append(f"{field.name} = {_shown(field.name, value)}")
        if name == "tls":
            for pair in settings.tls.certificates:
                lines += ["[[tls.certificates]]", f"chain = {_text(str(pair.chain))}", f"key = {_text(str(pair.key))}"]
        if name == "routing":
            for route in settings.routing.routes:
                lines.append("[[routing.routes]]")
                shown = ((field.name, getattr(route, field.name)) for field in fields(route))
                # The password is only in its file.
                lines += [f"{key} = {_shown(key, v)}" for key, v in shown if v not in (None, "") and key != "password"]
    lines += ["", "[outbound.timeouts]", *_timeouts(settings.outbound.timeouts)]
    return "\n".join(lines) + "\n"


def _timeouts(timeouts: OutboundTimeouts) -> list[str]:
    return [f"{field.name} = {_shown(field.name, getattr(timeouts, field.name))}" for field in fields(timeouts)]


def _text(value: str) -> str:
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
            return f"[{', '.join(_text(item) for item in items)}]"
        case Enum():
            return _text(str(value.value))
        case int():
            return shown_size(value) if name in _SIZES else str(value)
        case _:
            return _text(str(value))
