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
    "smtp-login-delayed": "SMTP logins delayed",
    "smtp-plaintext-dropped": "SMTP commands discarded at STARTTLS",
    "smtp-too-slow": "SMTP messages that took too long",
    "smtp-store-failed": "SMTP sessions in which the store failed",
    "pop3-end": "POP3 sessions",
    "pop3-login": "POP3 logins",
    "pop3-login-refused": "POP3 logins refused",
    "pop3-connection-refused": "POP3 connections refused",
    "pop3-removed": "POP3 sessions that deleted messages",
    "pop3-in-use": "POP3 logins while the maildrop was in use",
    "pop3-login-busy": "POP3 logins delayed",
    "pop3-closed": "POP3 connections ended by this host",
    "pop3-connection-failed": "POP3 connections failed",
    "pop3-plaintext-dropped": "POP3 commands discarded at STLS",
    "pop3-taken-over": "POP3 sessions whose maildrop was taken over",
    "pop3-store-failed": "POP3 sessions in which the store failed",
    "pop3-cut-short": "POP3 messages cut short",
    "pop3-damaged": "POP3 messages found damaged",
    "web-login": "web logins",
    "web-login-refused": "web logins refused",
    "web-operator-login": "operators' web logins",
    "web-operator-refused": "operators' web logins refused",
    "outbound-connected": "outbound connections",
    "outbound-unreachable": "outbound connections failed",
    "outbound-clear": "outbound hosts without working TLS",
    "outbound-x25519-only": "outbound hosts that need a small TLS hello",
    "next-hop-paused": "pauses of a next hop",
    "route-failed": "alarms: the host of a route failed",
    "intake-suspended": "alarms: no mail accepted",
    "intake-resumed": "alarms over: mail accepted again",
    "operator-change": "changes by operators",
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
