"""Words for the events that a daemon counts, as `emailsys status` prints them. Programs get the names with --json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WORDS: Final = {
    "accepted": "messages accepted",
    "relayed": "recipients relayed",
    "delayed": "attempts delayed",
    "failed": "recipients failed",
    "held": "recipients held",
    "refused": "messages or recipients refused",
    "exception": "unexpected exceptions (see the log)",
    "smtp-end": "SMTP sessions",
    "smtp-login": "SMTP logins",
    "smtp-login-refused": "SMTP logins refused",
    "smtp-connection-refused": "SMTP connections refused",
    "smtp-timed-out": "SMTP sessions timed out",
    "smtp-dropped": "SMTP connections dropped",
    "smtp-early-talker": "SMTP clients that talked before the greeting",
    "smtp-connection-failed": "SMTP connections failed",
    "pop3-end": "POP3 sessions",
    "pop3-login": "POP3 logins",
    "pop3-login-refused": "POP3 logins refused",
    "pop3-connection-refused": "POP3 connections refused",
    "pop3-removed": "POP3 sessions that deleted messages",
    "pop3-in-use": "POP3 logins while the maildrop was in use",
    "outbound-connected": "outbound connections",
    "outbound-unreachable": "outbound connections failed",
    "outbound-clear": "outbound hosts without working TLS",
    "outbound-x25519-only": "outbound hosts that need a small TLS hello",
    "next-hop-paused": "pauses of a next hop",
    "route-failed": "alarms: the host of a route failed",
    "intake-suspended": "alarms: no mail accepted",
    "certificates-reloaded": "readings of the certificates",
    "certificates-refused": "certificates refused",
}
_SEPARATORS: Final = str.maketrans("._-", "   ")


def words_for(event: str) -> str:
    """Return words for the name of an event. A name without words of its own is taken apart."""
    return _WORDS.get(event) or event.translate(_SEPARATORS)


def counters_line(counters: Mapping[str, int]) -> str:
    """Describe counters, the highest first; "" if nothing was counted. The start itself is left out."""
    counted = sorted(counters.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{words_for(name)} {count}" for name, count in counted if name != "started"]
    return f"since the start: {', '.join(parts)}" if parts else ""
