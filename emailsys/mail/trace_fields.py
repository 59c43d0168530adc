"""Trace fields of a message: Received, Return-Path, Delivered-To (RFC 5321 §4.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.envelope import Arrival, Client, Recipient
from emailsys.mail.ip import address_literal

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Allowed in the field unchanged: a name that is nearly a domain ("my_host"), or an address literal.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9])?|\[[A-Za-z0-9.:\-]+\]")
# A comment has no control octets, parentheses or backslashes (RFC 5322 §3.2.2).
_NOT_IN_COMMENT: Final = re.compile(r"[^!-'*-\[\]-~]")


@lru_cache(maxsize=8)
def _date_of_second(moment: datetime) -> str:
    offset = moment.strftime("%z") or "+0000"
    # RFC 5322 requires English names, whatever the locale.
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} {offset[:5]}"
    )


def date_time(moment: datetime) -> str:
    """Write a date-time of RFC 5322 §3.3. A moment without a time zone is taken as UTC."""
    return _date_of_second(moment.replace(microsecond=0))


@lru_cache(maxsize=1024)
def _from_clause(helo: str | None, ip: str) -> str:
    literal = address_literal(ip)
    if helo is not None and len(helo) <= 255:
        if _PLAIN_NAME.fullmatch(helo):
            return f"from {helo} ({literal})"
        # RFC 5321 §4.1.4: a bad name is no reason to reject the message. This comment is for people.
        return f"from {literal} (helo={_NOT_IN_COMMENT.sub('?', helo)})"
    return f"from {literal} ({literal})"


def received(hostname: str, client: Client, arrival: Arrival, recipients: Sequence[Recipient]) -> bytes:
    """Write the Received field of RFC 5321 §4.4, folded, with its final CRLF.

    The forward-path is included only if there is exactly one recipient. Otherwise each recipient would learn of the
    others (§7.2).
    """
    tls = f"\r\n\t({_NOT_IN_COMMENT.sub(' ', client.tls)})" if client.tls else ""
    named = ""
    if len(recipients) == 1 and recipients[0].forward_path.domain:
        named = f"\r\n\tfor <{recipients[0].forward_path}>"
    return (
        f"Received: {_from_clause(client.helo, client.ip)}{tls}\r\n"
        f"\tby {hostname} with {client.protocol} id {arrival.queue_id}{named};\r\n"
        f"\t{date_time(arrival.arrived_at)}\r\n"
    ).encode()


def unauthenticated(hostname: str) -> bytes:
    """Write the field that marks a message whose From is an address of this system, from a client without a login.

    RFC 8601 §2.7.4: the result of the method "auth" is "none" if the client did not log in.
    """
    return (
        f"Authentication-Results: {hostname};\r\n"
        "\tauth=none (From is an address of this system, but the client did not log in)\r\n"
    ).encode()


def delivery_prefix(reverse_path: Address | None, forward_path: Address) -> bytes:
    """Write the fields that final delivery adds for a recipient (RFC 5321 §4.4; RFC 9228 for Delivered-To)."""
    sender = "" if reverse_path is None else str(reverse_path)
    return f"Return-Path: <{sender}>\r\nDelivered-To: {forward_path}\r\n".encode()
