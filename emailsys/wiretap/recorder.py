"""Recorder of connections: a ring of conversations, and watchers that hear their events as they happen."""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final

from zope.interface import implementer

from emailsys.interfaces.operators.wire import Hear, IWireRecords, TracedStep
from emailsys.interfaces.wiretap import IWiretap
from emailsys.wiretap.conversation import Event, Json, Kind, Role
from emailsys.wiretap.handshakes import Observer
from emailsys.wiretap.journeys import conversations_of
from emailsys.wiretap.recording import Recording
from emailsys.wiretap.tap import Tap

# `json.dumps` would make an encoder for each line.
_JSON: Final = json.JSONEncoder(separators=(",", ":"))


@implementer(IWiretap, IWireRecords)
class Recorder:
    """The newest conversations, each within a limit of memory.

    Connections that begin while `is_on` is false are never recorded, not even later: recording costs nothing then.
    """

    def __init__(
        self,
        conversations: int,
        octets_per_conversation: int,
        *,
        enabled: bool = True,
        keep_bodies: bool = False,
        observe: Callable[[Role], Observer] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param conversations: how many are kept; the oldest is dropped for a new one.
        @param octets_per_conversation: the limit for each, at least `MIN_OCTETS` of `wiretap.recording`.
        @param enabled: whether to record without a watcher.
        @param keep_bodies: whether the text of messages is recorded, up to an eighth of the limit for each message.
        @param observe: makes the observer of a TLS handshake on one side of it. Without one, the facts of the TLS
            library are recorded and no messages.
        @param clock: monotonic, in seconds. @param now: seconds since 1970.
        """
        self._most = conversations
        self._octets = octets_per_conversation
        self._enabled = enabled
        self._most_of_body = octets_per_conversation // 8 if keep_bodies else 0
        self._observe = observe
        self._clock = clock
        self._now = now
        self._ring: OrderedDict[str, Recording] = OrderedDict()
        self._watchers: dict[object, Hear] = {}
        self._prefix = secrets.token_hex(3)
        self._numbers = count(1)
        #: Whether connections that begin now are recorded.
        self.is_on = enabled

    # IWiretap

    def begin(self, protocol: str, as_client: bool, session: str = "") -> Tap:
        session = session or f"{self._prefix}-out-{next(self._numbers)}"
        role = Role.CLIENT if as_client else Role.SERVER
        recording = Recording(session, protocol, role, self._now(), self._octets)
        self._ring[session] = recording
        if len(self._ring) > self._most:
            self._drop_one()
        observe = None if self._observe is None else partial(self._observe, role)
        return Tap(recording, self._clock, self._happened, self._most_of_body, observe)

    def _drop_one(self) -> None:
        """Drop the oldest conversation that is over, or else the oldest of all."""
        oldest = next((session for session, one in self._ring.items() if one.closed), next(iter(self._ring)))
        self._ring.pop(oldest).forget()

    def _happened(self, recording: Recording, event: Event) -> None:
        if not self._watchers:
            return
        if event.kind is Kind.OPENED or (event.kind is Kind.CLOSED and not recording.peer):
            self._tell(_line({"conversation": recording.conversation(with_events=False).to_json()}))
        self._tell(event_line(recording.session, event))

    def _tell(self, line: bytes) -> None:
        for hear in tuple(self._watchers.values()):
            hear(line)

    # IWireRecords

    def conversations(self, limit: int) -> Sequence[Mapping[str, Any]]:
        newest = tuple(self._ring.values())[-limit:] if limit else ()
        return [one.conversation(with_events=False).to_json() for one in newest]

    def conversation(self, session: str) -> Mapping[str, Any] | None:
        found = self._ring.get(session)
        return None if found is None else found.conversation().to_json()

    def sessions_of(self, steps: Sequence[TracedStep]) -> Sequence[str]:
        recorded = (one.conversation() for one in self._ring.values())
        return ["" if found is None else found.id for found in conversations_of(steps, recorded)]

    def watch(self, hear: Hear, past: int) -> Callable[[], None]:
        watcher = object()
        kept = tuple(self._ring.values())
        newest = kept[-past:] if past else ()
        for one in kept:
            # Of an open connection, the next event may come at any moment.
            if one in newest or not one.closed:
                found = {"conversation": one.conversation(with_events=one in newest).to_json()}
                hear(_line(found))
        self._watchers[watcher] = hear
        self.is_on = True

        def end() -> None:
            with suppress(KeyError):
                del self._watchers[watcher]
            self.is_on = self._enabled or bool(self._watchers)

        return end


def event_line(session: str, event: Event) -> bytes:
    """Return the JSON line of an event, as `_line` would, in half the time, because sessions wait for it."""
    direction = "" if event.direction is None else f',"direction":"{event.direction}"'
    text = f',"text":{_JSON.encode(event.text)}' if event.text else ""
    octets = f',"octets":{event.octets}' if event.octets else ""
    details = f',"details":{_JSON.encode(dict(event.details))}' if event.details else ""
    head = f'{{"session":{_JSON.encode(session)},"event":{{"at":{round(event.at, 6)!r},"kind":"{event.kind}"'
    return f"{head}{direction}{text}{octets}{details}}}}}".encode("ascii")


def _line(found: Mapping[str, Json]) -> bytes:
    return _JSON.encode(found).encode("ascii")
