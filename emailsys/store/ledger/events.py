"""Events of messages in the ledger, and the client that sent a message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from emailsys.interfaces.operators import EventKind
from emailsys.mail.envelope import Client
from emailsys.store.schema.rows import EventRow

#: The name of the key of a message that was sent by HTTP, in the JSON of its client.
SENT_KEY: Final = "sent_key"


@lru_cache(maxsize=1024)
def client_text(client: Client) -> str:
    """Format the client that sent a message as JSON for the ledger. Cached, because a session has one client."""
    key = {SENT_KEY: client.sent_key} if client.sent_key else {}
    return json.dumps(
        {
            "session": client.session,
            "ip": client.ip,
            "helo": client.helo,
            "protocol": client.protocol,
            "tls": client.tls,
            "account": None if client.account is None else str(client.account),
            **key,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def shown_client(text: str) -> dict[str, Any]:
    """Return the client of a message for an operator, without its key."""
    client: dict[str, Any] = json.loads(text)
    client.pop(SENT_KEY, None)
    return client


@dataclass(frozen=True, slots=True)
class Event:
    """An event for one recipient between the arrival of a message and its end."""

    message_id: int
    kind: EventKind
    row_id: int | None = None
    recipient: str | None = None
    reply: str | None = None
    remote: str | None = None
    in_doubt: bool = False

    def row(self, event_id: int, at: int) -> EventRow:
        """Return the row to insert.

        @param at: microseconds since 1970.
        """
        return EventRow(
            event_id=event_id,
            message_id=self.message_id,
            at=at,
            kind=self.kind.value,
            row_id=self.row_id,
            recipient=self.recipient,
            reply=self.reply,
            remote=self.remote,
            in_doubt=self.in_doubt,
        )
