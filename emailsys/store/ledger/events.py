"""What the ledger remembers of messages: who brought them, and what happened to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from emailsys.mail.envelope import Client
from emailsys.operations import EventKind
from emailsys.store.commit.jobs import Row


@lru_cache(maxsize=1024)
def client_text(client: Client) -> str:
    """Who brought a message, as the ledger keeps it: once for each session, as a rule."""
    return json.dumps(
        {
            "session": client.session,
            "ip": client.ip,
            "helo": client.helo,
            "protocol": client.protocol,
            "tls": client.tls,
            "account": None if client.account is None else str(client.account),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened between the arrival of a message and its end, to one recipient of it."""

    message_id: int
    kind: EventKind
    row_id: int | None = None
    recipient: str | None = None
    reply: str | None = None
    remote: str | None = None
    in_doubt: bool = False

    def row(self, event_id: int, at: int) -> Row:
        """In the columns of `store.schema.tables.events`."""
        return (
            event_id,
            self.message_id,
            at,
            self.kind.value,
            self.row_id,
            self.recipient,
            self.reply,
            self.remote,
            self.in_doubt,
        )
