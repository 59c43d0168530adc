"""Keys of messages that were sent by HTTP, over the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zope.interface import implementer

from emailsys.interfaces import ISentKeys, SentKey


@implementer(ISentKeys)
class MemorySentKeys:
    """Reads the envelopes of all messages."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.is_shared = False

    async def since(self, at: datetime) -> Sequence[SentKey]:
        if self._store.fail_reads is not None:
            raise self._store.fail_reads
        found = [(message.envelope, message) for message in self._store.messages if message.envelope.arrived_at >= at]
        return [
            SentKey(envelope.client.sent_key, message.queue_id, envelope.message_id, len(message.body))
            for envelope, message in found
            if envelope.client is not None and envelope.client.sent_key
        ]
