"""Text of the history of a message, for `trace` and `queue show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emailsys.cli.amounts import shown_time
from emailsys.mail.quantities import shown_size

_FOR = {
    "queued": "to {recipient}: waits in the queue for another host",
    "stored": "to {recipient}: stored in the maildrop{of}",
    "expanded": "to {recipient}: forwarded to {detail}",
    "delayed": "to {recipient}: attempt{at} failed, delayed: {reply}",
    "warned": "to {recipient}: the sender got a warning of the delay",
    "relayed": "to {recipient}: accepted{by}: {reply}",
    "failed": "to {recipient}: failed{at}, the sender got a notice: {reply}",
    "failed untold": "to {recipient}: failed{at}, the sender requested no notice: {reply}",
    "deleted": "to {recipient}: deleted by its owner, {reply}",
    "fetched": "to {recipient}: fetched, still in the maildrop",
    "dropped": "to {recipient}: dropped by an operator",
    "expired": "to {recipient}: deleted, {reply}",
    "retried": "to {recipient}: made due by an operator",
    "interrupted": "to {recipient}: the daemon ended during an attempt, so another one follows (the message may have "
    "arrived, and may arrive twice, RFC 1047)",
    "held": "to {recipient}: held{why}",
    "released": "to {recipient}: released by an operator",
    "notice": "a notice was sent to {recipient} as message {detail}",
}
_DOUBT = " (no reply to the end of the message: it may have arrived, and may arrive twice, RFC 1047)"


def life_text(life: dict[str, Any]) -> str:
    """Return the history of a message, one line for each event, and where the message is now."""
    return "\n".join(_lines(life))


def _lines(life: dict[str, Any]) -> Iterator[str]:
    sender = life["sender"] or "<> (a notice or bounce)"
    yield f"message {life['queue_id']} from {sender}, {shown_size(life['octets'])}"
    if life["message_id"]:
        yield f"  Message-ID {life['message_id']}"
    if life["about"]:
        yield f"  a notice about {life['about']}"
    for one in life["events"]:
        yield f"  {shown_time(one['at'])}  {event_text(one, life)}"
    yield f"  now: {_place(life)}"


def event_text(one: Mapping[str, Any], life: Mapping[str, Any]) -> str:
    """Return one event of the history in words."""
    if one["kind"] == "accepted":
        return f"accepted {_client(life['client'])}"
    words = {
        "recipient": one["recipient"] or "an account",
        "at": f" at {one['remote']}" if one["remote"] else "",
        "by": f" by {one['remote']}" if one["remote"] else "",
        "reply": " ".join((one["reply"] or "no reply").split()),
        "detail": one["detail"] or "",
        "why": f": {one['reply']}" if one["reply"] else " by an operator",
        "of": f" of {one['detail']}" if one["detail"] and one["detail"] != one["recipient"] else "",
    }
    return _FOR[one["kind"]].format(**words) + (_DOUBT if one["in_doubt"] else "")


def _client(client: Mapping[str, Any] | None) -> str:
    if client is None:
        return "from this system"
    parts = [f"from {client['helo'] or 'a client'} [{client['ip']}] by {client['protocol']}"]
    if client["account"]:
        parts.append(f"logged in as {client['account']}")
    parts.append(client["tls"] if client["tls"] else "without TLS")
    return ", ".join(parts) + f" (session {client['session']})"


def _place(life: dict[str, Any]) -> str:
    parts = []
    if life["stored"]:
        parts.append(f"in {life['stored']} maildrop{'s' if life['stored'] > 1 else ''}")
    if life["queued"]:
        parts.append(f"{life['queued']} recipient{'s' if life['queued'] > 1 else ''} in the queue")
    return " and ".join(parts) or "no longer on this system"
