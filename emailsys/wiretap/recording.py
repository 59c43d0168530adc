"""The events of one conversation within a limit of memory: the beginning and the newest stay."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

from emailsys.wiretap.conversation import Conversation, Event, Role

#: Octets of the smallest limit of a conversation: an opening with TLS and a login fits.
MIN_OCTETS: Final = 16 * 1024
# Octets of one event without its text and details, as Python 3.11 to 3.14 store it, and of one detail.
_EVENT_OCTETS: Final = 400
_DETAIL_OCTETS: Final = 160


def octets_of(event: Event) -> int:
    """Return about how much memory an event takes. It is never less."""
    octets = _EVENT_OCTETS + sys.getsizeof(event.text)
    for value in event.details.values():
        octets += _DETAIL_OCTETS + (sys.getsizeof(value) if isinstance(value, str) else 4 * len(repr(value)))
    return octets


class Recording:
    """One conversation while it is recorded.

    Half of the limit belongs to the first events: greeting, TLS, login. The newest share the other half; those between
    are dropped and counted.
    """

    def __init__(self, session: str, protocol: str, role: Role, opened: float, most: int) -> None:
        """@param opened: seconds since 1970. @param most: octets."""
        self.session = session
        self.protocol = protocol
        self.role = role
        self.opened = opened
        self.peer = ""
        self.local = ""
        self.peer_name = ""
        self.closed = False
        #: Whether events are kept: false when the conversation has left the ring.
        self.kept = True
        self._most = most
        self._dropped = 0
        self._first: list[Event] = []
        self._first_octets = 0
        self._last: deque[tuple[Event, int]] = deque()
        self._last_octets = 0

    def add(self, event: Event) -> None:
        """Keep an event; drop others if there is no room."""
        if not self.kept:
            return
        octets, half = octets_of(event), self._most // 2
        if not self._last and self._first_octets + octets <= half:
            self._first.append(event)
            self._first_octets += octets
            return
        self._last.append((event, octets))
        self._last_octets += octets
        while self._last_octets > half:
            _, gone = self._last.popleft()
            self._last_octets -= gone
            self._dropped += 1

    def forget(self) -> None:
        """Drop all events, and keep no more."""
        self.kept = False
        self._first = []
        self._last.clear()

    def conversation(self, with_events: bool = True) -> Conversation:
        """Return the conversation as it is now."""
        return Conversation(
            id=self.session,
            protocol=self.protocol,
            role=self.role,
            opened=self.opened,
            peer=self.peer,
            local=self.local,
            peer_name=self.peer_name,
            closed=self.closed,
            dropped=self._dropped,
            events=(*self._first, *(event for event, _ in self._last)) if with_events else (),
        )
