"""Named tuples for the rows that are inserted: one for each table, its fields in the order of the table's columns.

The parameters of MAIL become columns of `messages`, and are read from them, here only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Table

from emailsys.mail.dsn_request import NOTHING_ASKED, MessageRequest, Return
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.store.schema import tables
from emailsys.store.schema.tables import messages


class BodyRow(NamedTuple):
    """The first piece of a body. The writer adds digest and checksum."""

    body_id: int
    dots: bool
    content: bytes
    digest: bytes | None = None
    checksum: bytes | None = None


class PieceRow(NamedTuple):
    """A later piece of a body, numbered from 1. The writer adds digest and checksum."""

    body_id: int
    number: int
    dots: bool
    content: bytes
    digest: bytes | None = None
    checksum: bytes | None = None


class StagedRow(NamedTuple):
    """A body that is still arriving, and the node that receives it."""

    body_id: int
    node: int


class MessageRow(NamedTuple):
    """An accepted message."""

    message_id: int
    reverse_local: str | None
    reverse_domain: str | None
    arrived_at: int
    octets: int
    pieces: int
    body_type: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    client: str | None
    header_id: str | None
    cause: int | None
    rows: int
    recipients: str


#: The columns of `messages` for the parameters of MAIL.
PARAMETER_COLUMNS: Final = (messages.c.body_type, messages.c.smtputf8, messages.c.ret, messages.c.envid)


def values_of(asked: MailParameters) -> dict[str, Any]:
    """Convert parameters of MAIL to fields of a `MessageRow`."""
    ret = asked.dsn.ret
    return {
        "body_type": asked.body.value,
        "smtputf8": asked.smtputf8,
        "ret": None if ret is None else ret.value,
        "envid": asked.dsn.envid,
    }


def parameters_of(row: Any) -> MailParameters:
    """Read parameters of MAIL from a row that has `PARAMETER_COLUMNS`."""
    body, smtputf8, ret, envid = (row[column] for column in PARAMETER_COLUMNS)
    dsn = NOTHING_ASKED
    if ret is not None or envid is not None:
        dsn = MessageRequest(None if ret is None else Return(ret), envid)
    return MailParameters(BodyType(body), bool(smtputf8), dsn)


class MaildropRow(NamedTuple):
    """A message in the maildrop of an account."""

    account_id: int
    row_id: int
    message_id: int
    octets: int
    smtputf8: bool
    prefix: bytes


class RemoteRow(NamedTuple):
    """A recipient on another host, in the queue."""

    row_id: int
    message_id: int
    forward_local: str
    forward_domain: str
    state: str
    due_at: int
    attempts: int
    lease: int | None
    last_reply: str | None
    last_remote: str | None
    warned: bool
    forwarded: bool
    notify: str | None
    orcpt: str | None
    aged_from: int | None


class SettledRow(NamedTuple):
    """The end of a maildrop row or a queue row."""

    row_id: int
    message_id: int
    settled_at: int
    fate: str
    recipient: str | None
    attempts: int | None
    reply: str | None
    remote: str | None
    in_doubt: bool


class EventRow(NamedTuple):
    """An event between the arrival of a message and its end."""

    event_id: int
    message_id: int
    at: int
    kind: str
    row_id: int | None
    recipient: str | None
    reply: str | None
    remote: str | None
    in_doubt: bool


class ReclaimRow(NamedTuple):
    """A message that lost a maildrop row or a queue row, for the sweeper."""

    row_id: int
    message_id: int


ROWS: Final[Mapping[Table, type[tuple[object, ...]]]] = {
    tables.bodies: BodyRow,
    tables.body_pieces: PieceRow,
    tables.staged: StagedRow,
    tables.messages: MessageRow,
    tables.maildrop: MaildropRow,
    tables.queue: RemoteRow,
    tables.settled: SettledRow,
    tables.events: EventRow,
    tables.reclaim: ReclaimRow,
}
