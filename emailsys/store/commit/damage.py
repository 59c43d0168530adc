"""Messages whose bodies were found damaged: told in the log, counted, and remembered until the daemon ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from emailsys.interfaces import StoreDamaged
from emailsys.store.commit.ids import id_text
from emailsys.telemetry import Telemetry

# Messages that are remembered; a store with more is past being told of one by one.
_MOST: Final = 10_000
_SHOWN: Final = 20


class Damage:
    """What is known of damage. All methods are called in the reactor's thread."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._known: dict[int, str] = {}

    @property
    def known(self) -> Mapping[int, str]:
        """Messages, by their ids, with what is wrong."""
        return self._known

    def some(self) -> Sequence[Mapping[str, str]]:
        """For `status`: the first of them."""
        return [{"queue_id": id_text(number), "what": what} for number, what in islice(self._known.items(), _SHOWN)]

    def found(self, message_id: int, what: str) -> StoreDamaged:
        """Tell the log, once for each message. Returns the exception to raise.

        @param what: such as "piece 0 of its body is missing".
        """
        if message_id not in self._known and len(self._known) < _MOST:
            self._known[message_id] = what
            self._telemetry.event("message.damaged", queue_id=id_text(message_id), what=what)
        return StoreDamaged(f"message {id_text(message_id)} is damaged: {what}")

    def mended(self, message_id: int) -> None:
        """The message was read whole, or is gone."""
        self._known.pop(message_id, None)
