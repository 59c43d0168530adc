"""Keys of messages that were sent by HTTP, by which a repeated request is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from zope.interface import Attribute, Interface


class SentKey(NamedTuple):
    """A message that was accepted with a key.

    @ivar key: that of its Client.
    """

    key: str
    queue_id: str
    message_id: str
    octets: int


class ISentKeys(Interface):
    """The keys in the store. Each is written in the same commit as its message."""

    is_shared: bool = Attribute("Whether other daemons may use the same store.")

    async def since(at: datetime) -> Sequence[SentKey]:
        """Return the keys of the messages that began to arrive at or after a time, and are still in the ledger.

        @raise StoreError: they cannot be read now."""
