"""Tell the life of a message in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emailsys.cli.amounts import shown_time
from emailsys.mail.quantities import shown_size

_FOR = {
    "queued": "to {recipient}: waits to be sent to another host",
    "stored": "to {recipient}: put into the maildrop{of}",
    "expanded": "to {recipient}: forwarded to {detail}",
    "delayed": "to {recipient}: tried{at}, delayed: {reply}",
    "warned": "to {recipient}: the sender was told of the delay",
    "relayed": "to {recipient}: taken{by}: {reply}",
    "failed": "to {recipient}: given up{at}, the sender was told: {reply}",
    "failed untold": "to {recipient}: given up{at}, and nobody was to be told: {reply}",
    "deleted": "to {recipient}: deleted by its owner, {reply}",
    "fetched": "to {recipient}: fetched, and left in the maildrop",
    "dropped": "to {recipient}: dropped by an operator",
    "expired": "to {recipient}: deleted, {reply}",
    "retried": "to {recipient}: an operator asked for an attempt at once",
    "interrupted": "to {recipient}: the daemon ended while it had this in hand, so it is tried again (if it was being "
    "sent at that moment, it may have arrived, and may arrive twice, RFC 1047)",
    "held": "to {recipient}: held{why}",
    "released": "to {recipient}: released by an operator",
    "notice": "a notice about it went to {recipient} as {detail}",
}
_DOUBT = " (the reply to the end of the message was never seen: it may have arrived, and may arrive twice, RFC 1047)"


def told_life(life: dict[str, Any]) -> str:
    """All that is known of a message, a line for each thing that happened."""
    return "\n".join(_lines(life))


def _lines(life: dict[str, Any]) -> Iterator[str]:
    sender = life["sender"] or "<> (a notice or bounce)"
    yield f"message {life['queue_id']} from {sender}, {shown_size(life['octets'])}"
    if life["message_id"]:
        yield f"  Message-ID {life['message_id']}"
    if life["about"]:
        yield f"  a notice about {life['about']}"
    for one in life["events"]:
        yield f"  {shown_time(one['at'])}  {_told(one, life)}"
    yield f"  now: {_standing(life)}"


def _told(one: dict[str, Any], life: dict[str, Any]) -> str:
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


def _client(client: dict[str, Any] | None) -> str:
    if client is None:
        return "from this system itself"
    parts = [f"from {client['helo'] or 'a client'} [{client['ip']}] by {client['protocol']}"]
    if client["account"]:
        parts.append(f"logged in as {client['account']}")
    parts.append(client["tls"] if client["tls"] else "without TLS")
    return ", ".join(parts) + f" (session {client['session']})"


def _standing(life: dict[str, Any]) -> str:
    parts = []
    if life["stored"]:
        parts.append(f"in {life['stored']} maildrop{'s' if life['stored'] > 1 else ''}")
    if life["queued"]:
        parts.append(f"{life['queued']} recipient{'s' if life['queued'] > 1 else ''} in the queue")
    return " and ".join(parts) or "nothing of it is left here"
