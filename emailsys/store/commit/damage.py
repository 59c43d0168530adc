"""Register of damaged messages: each is logged once and remembered until the daemon ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from emailsys.interfaces import StoreDamaged
from emailsys.store.commit.ids import id_text
from emailsys.telemetry import Telemetry

# Messages that are remembered, and messages that `status` lists.
_REMEMBERED: Final = 10_000
_LISTED: Final = 20


class Damage:
    """The damaged messages that were found. All methods are called in the reactor thread."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._known: dict[int, str] = {}

    @property
    def known(self) -> Mapping[int, str]:
        """Descriptions of the damage by message id."""
        return self._known

    def first_known(self) -> Sequence[Mapping[str, str]]:
        """List the first damaged messages, for `status`."""
        return [{"queue_id": id_text(number), "what": what} for number, what in islice(self._known.items(), _LISTED)]

    def report(self, message_id: int, what: str) -> StoreDamaged:
        """Log the damage, once for each message. Returns the exception to raise.

        @param what: such as "piece 0 of its body is missing".
        """
        if message_id not in self._known and len(self._known) < _REMEMBERED:
            self._known[message_id] = what
            self._telemetry.event("message-damaged", queue_id=id_text(message_id), what=what)
        return StoreDamaged(f"message {id_text(message_id)} is damaged: {what}")

    def clear(self, message_id: int) -> None:
        """Forget a message that was read completely, or that is deleted."""
        self._known.pop(message_id, None)
