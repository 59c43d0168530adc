"""Builds the rows of an accepted message: the message, its body, its recipients."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from emailsys.interfaces import Notice
from emailsys.mail.address import domain_key
from emailsys.mail.dsn_request import notify_value
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.mail.trace_fields import delivery_prefix
from emailsys.store.commit.jobs import Rows
from emailsys.store.ledger.events import client_text
from emailsys.store.schema.columns import microseconds, moment
from emailsys.store.schema.rows import BodyRow, MaildropRow, MessageRow, PieceRow, RemoteRow, values_of
from emailsys.store.schema.tables import NEVER

# Octets of a body piece. A body up to this size is one row, inserted with its message in one transaction.
PIECE_OCTETS: Final = 256 * 1024
# Takes less than half the time of `in`, which stops at each line end.
_find_dot_line: Final = re.compile(rb"\n\.").search


def may_have_dots(piece: bytes) -> bool:
    """Whether a line of the piece may begin with a dot and need stuffing. The piece itself may begin a line."""
    return piece.startswith(b".") or _find_dot_line(piece) is not None


def address_rows(
    rows: Rows,
    message_id: int,
    envelope: Envelope,
    octets: int,
    pieces: int,
    make_id: Callable[[], int],
    due_at: int,
    cause: int | None = None,
) -> None:
    """Add the row of a message and the rows of its recipients.

    Each account gets one maildrop row, and each address on another host one queue row, however many recipients lead
    there. If their DSN requests differ, the first one counts.

    @param due_at: the time of the first attempt for queue rows, in microseconds since 1970.
    @param cause: the message that this one reports on.
    """
    reverse, smtputf8 = envelope.reverse_path, envelope.parameters.smtputf8
    arrived_at = microseconds(envelope.arrived_at)
    accounts: dict[int, int] = {}
    remotes: dict[tuple[str, str], int] = {}
    lines = []
    for recipient in envelope.recipients:
        row_ids = []
        elsewhere = ""
        path = str(recipient.forward_path)
        for route in recipient.routes:
            if isinstance(route, LocalRoute):
                row_id = accounts.get(route.account_id)
                if row_id is None:
                    row_id = accounts[route.account_id] = make_id()
                    prefix = delivery_prefix(reverse, recipient.forward_path)
                    size = octets + len(prefix)
                    rows.maildrop.append(MaildropRow(route.account_id, row_id, message_id, size, smtputf8, prefix))
            else:
                address = route.forward_path
                # RFC 5321 §2.4: only the other host knows whether it distinguishes upper and lower case local parts.
                key = (address.local, domain_key(address.domain))
                row_id = remotes.get(key)
                if row_id is None:
                    row_id = remotes[key] = make_id()
                    _queue(rows, row_id, message_id, recipient, route, due_at)
                if route.forward_path is not recipient.forward_path:
                    elsewhere += f"\t{route.forward_path}"
            row_ids.append(row_id)
        lines.append(f"{','.join(map(str, row_ids))} {path}{elsewhere}")
    rows.messages.append(
        MessageRow(
            message_id=message_id,
            reverse_local=None if reverse is None else reverse.local,
            reverse_domain=None if reverse is None else reverse.domain,
            arrived_at=arrived_at,
            octets=octets,
            pieces=pieces,
            **values_of(envelope.parameters),
            client=None if envelope.client is None else client_text(envelope.client),
            header_id=envelope.message_id or None,
            cause=cause,
            rows=len(accounts) + len(remotes),
            recipients="\n".join(lines),
        )
    )


def _queue(rows: Rows, row_id: int, message_id: int, recipient: Recipient, route: RemoteRoute, due_at: int) -> None:
    path, asked = route.forward_path, recipient.dsn
    rows.queue.append(
        RemoteRow(
            row_id=row_id,
            message_id=message_id,
            forward_local=path.local,
            forward_domain=path.domain,
            state="held" if recipient.hold else "waiting",
            due_at=NEVER if recipient.hold else due_at,
            attempts=0,
            lease=None,
            last_reply=recipient.hold or None,
            last_remote=None,
            warned=False,
            forwarded=route.forwarded,
            notify=None if asked.notify is None else notify_value(asked.notify),
            orcpt=None if asked.orcpt is None else asked.orcpt.encode(unicode=True),
            aged_from=None,
        )
    )


def notice_rows(rows: Rows, notice: Notice, make_id: Callable[[], int], now: int, cause: int | None) -> None:
    """Add a notice with its body. Its arrival time is that of the commit, not the time of its composition.

    @param now: microseconds since 1970.
    @param cause: the message that the notice reports on, if any.
    """
    message_id = make_id()
    body = notice.body
    first = body[:PIECE_OCTETS]
    rows.bodies.append(BodyRow(message_id, may_have_dots(first), first))
    starts = range(PIECE_OCTETS, len(body), PIECE_OCTETS)
    for number, start in enumerate(starts, 1):
        piece = body[start : start + PIECE_OCTETS]
        rows.pieces.append(PieceRow(message_id, number, may_have_dots(piece), piece))
    envelope = replace(notice.envelope, arrived_at=moment(now))
    address_rows(rows, message_id, envelope, len(body), 1 + len(starts), make_id, now, cause)
