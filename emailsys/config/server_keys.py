"""Keys of the server's tables: the top, [smtp], [pop3], [tls], [store], [login] and [limits], with how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.config.process_count import a_process_count
from emailsys.config.settings import EarlyTalker, ForgedFrom, ForgedSender
from emailsys.config.values import (
    Read,
    Unfit,
    a_boolean,
    a_count,
    a_duration,
    a_host_name,
    a_number,
    a_size,
    a_store_url,
    an_account_name,
    networks,
    one_of,
)

# Services, each with two ports: that of the standard, the default of a file, and that of the embedded default.
SERVICES: Final[Mapping[str, tuple[int, int]]] = {
    "smtp": (25, 2525),
    "submission": (587, 2587),
    "submissions": (465, 2465),
    "pop3": (110, 2110),
    "pop3s": (995, 2995),
}


# Worker processes of all services, and of POP3.
_WORKERS: Final = a_process_count(maximum=64)

TOP: Final[Mapping[str, Read]] = {
    "hostname": a_host_name,
    "user": an_account_name,
    "group": an_account_name,
    "workers": _WORKERS,
}


CONNECTIONS: Final[Mapping[str, Read]] = {
    "max_connections": a_count(minimum=10, maximum=1_000_000),
    "max_connections_per_ip": a_count(minimum=0, maximum=1_000_000),
}


SMTP: Final[Mapping[str, Read]] = {
    # RFC 5321 §4.5.3.1.7 and §4.5.3.1.8: 64K octets and 100 recipients are the least a server must take.
    "max_message_size": a_size(minimum=64 * 1024),
    "max_header_size": a_size(minimum=16 * 1024, maximum=16 * 1024 * 1024),
    "max_recipients": a_count(minimum=100, maximum=1_000_000),
    "max_routes": a_count(minimum=1000, maximum=1_000_000),
    # RFC 5321 §6.3: a limit on Received fields should be at least 100.
    "max_received_fields": a_count(minimum=100, maximum=10_000),
    "max_refusals": a_count(minimum=10, maximum=1_000_000),
    "command_timeout": a_duration(minimum=1),
    "data_timeout": a_duration(minimum=1),
    "message_timeout": a_duration(minimum=60),
    "close_timeout": a_duration(minimum=0.1),
    **CONNECTIONS,
    "max_submission_connections": a_count(minimum=10, maximum=1_000_000),
    "plaintext_auth_on_loopback": a_boolean,
    "plaintext_auth_networks": networks,
    "trusted_may_submit": a_boolean,
    "accept_nul": a_boolean,
    "accept_long_lines": a_boolean,
    "forged_sender": one_of(ForgedSender),
    "forged_from": one_of(ForgedFrom),
    "early_talker": one_of(EarlyTalker),
    "greeting_wait": a_duration(minimum=0, maximum=30),
}


def maildrops(value: object) -> str:
    """Read what POP3 serves. Whether a plugin can be loaded is known only when the daemon starts."""
    if value != "local":
        kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind != "plugin" or not (name and name.isprintable()):
            raise Unfit('"local", "plugin:NAME" or "plugin:NAME:ARGUMENT"')
    return str(value)


POP3: Final[Mapping[str, Read]] = {
    "login_timeout": a_duration(minimum=1),
    # RFC 1939 §3: the autologout timer must be of at least ten minutes.
    "session_timeout": a_duration(minimum=600),
    "takeover_after": a_duration(minimum=1),
    "workers": _WORKERS,
    "close_timeout": a_duration(minimum=0.1),
    **CONNECTIONS,
    "plaintext_auth_on_loopback": a_boolean,
    "plaintext_auth_networks": networks,
    "serve_utf8_raw": a_boolean,
    "downgrade_utf8": a_boolean,
    "maildrops": maildrops,
    "maildrop_deadline": a_duration(minimum=0.1, maximum=120),
}


TLS: Final[Mapping[str, Read]] = {"handshake_timeout": a_duration(minimum=1)}


STORE: Final[Mapping[str, Read]] = {
    "url": a_store_url,
    "max_waiting_octets": a_size(minimum=1024 * 1024),
    "maildrop_cache": a_size(minimum=0),
    "default_quota": a_size(minimum=0),
    "refuse_over_quota": a_boolean,
    "quota_warning": a_boolean,
    "history_days": a_number(minimum=0, maximum=36500),
    "maildrop_days": a_number(minimum=0, maximum=36500),
}


def login_checkers(value: object) -> tuple[str, ...]:
    """Read a list of checkers of passwords. Whether they can be loaded is known only when the daemon starts."""
    allowed = 'a list such as ["local", "ldaps://ldap.example.org/uid={user},dc=example,dc=org", "plugin:NAME"]'
    if not isinstance(value, list) or not value:
        raise Unfit(allowed)
    for item in value:
        if not (isinstance(item, str) and item and item.isprintable()):
            raise Unfit(allowed, item)
    if len(set(value)) < len(value):
        raise Unfit(f"{allowed}, each of them once")
    return tuple(value)


LOGIN: Final[Mapping[str, Read]] = {
    "max_waiting": a_count(minimum=1, maximum=1_000_000),
    "hashing_threads": a_count(minimum=1, maximum=64),
    "min_password_length": a_count(minimum=0, maximum=128),
    "auth": login_checkers,
    "auth_deadline": a_duration(minimum=0.1, maximum=120),
    "create_accounts": a_boolean,
}


LIMITS: Final[Mapping[str, Read]] = {
    "max_failed_logins": a_count(minimum=0, maximum=1_000_000),
    "max_unknown_recipients": a_count(minimum=0, maximum=1_000_000),
    "half_life": a_duration(minimum=1),
    "exempt_loopback": a_boolean,
}


# Keys that users may expect here, and where they are instead.
ELSEWHERE: Final[Mapping[str, str]] = {
    "state": "nothing here: the state folder is chosen by --state or $EMAILSYS_STATE",
    "port": 'nothing here: ports stand with the addresses, such as smtp = ["*:25"] under [listen]',
}
