"""Record of one connection: what the protocols tell becomes events without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from emailsys.interfaces.wiretap import ITap
from emailsys.wiretap.conversation import Direction, Event, Json, Kind, Role
from emailsys.wiretap.dialogues import Dialogue, POP3Dialogue, SMTPDialogue
from emailsys.wiretap.handshakes import HandshakeRecord, Observer
from emailsys.wiretap.log_events import fact_of, shown_field
from emailsys.wiretap.masking import printable, shown_command, shown_response, verb_of
from emailsys.wiretap.recording import Recording


@implementer(ITap)
class Tap:
    """Turns the octets of a connection into events of its recording."""

    def __init__(
        self,
        recording: Recording,
        clock: Callable[[], float],
        happened: Callable[[Recording, Event], None],
        most_of_body: int,
        observe: Callable[[], Observer] | None = None,
    ) -> None:
        """
        @param clock: monotonic, in seconds.
        @param happened: called after each event was recorded.
        @param most_of_body: octets of each message that are kept; 0 keeps none.
        @param observe: makes the observer of a TLS handshake; None for none.
        """
        self._recording = recording
        self._clock = clock
        self._began = clock()
        self._happened = happened
        self._most_of_body = most_of_body
        is_server = recording.role is Role.SERVER
        self._is_server = is_server
        self._commands = Direction.IN if is_server else Direction.OUT
        self._replies = Direction.OUT if is_server else Direction.IN
        kind = POP3Dialogue if recording.protocol == "pop3" else SMTPDialogue
        self._dialogue: Dialogue = kind(self, hides_replies=not is_server)
        self._handshake = HandshakeRecord(observe, self._now, self._take)
        # The message that is being transferred. It becomes one event at its end.
        self._body_octets = 0
        self._body_kept = bytearray()
        self._body_direction = self._commands

    def _add(
        self,
        kind: Kind,
        text: str = "",
        direction: Direction | None = None,
        octets: int = 0,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        if self._body_octets:
            self._end_body()
        self._append(kind, text, direction, octets, details or {})

    def _now(self) -> float:
        return max(0.0, self._clock() - self._began)

    def _append(
        self, kind: Kind, text: str, direction: Direction | None, octets: int, details: Mapping[str, Json]
    ) -> None:
        self._take(Event(self._now(), kind, text, direction, octets, details))

    def _take(self, event: Event) -> None:
        if self._recording.closed:
            return
        if event.kind is Kind.CLOSED:
            self._recording.closed = True
        self._recording.add(event)
        self._happened(self._recording, event)

    # ITap

    def opened(self, peer: str, local: str, peer_name: str = "") -> None:
        self._recording.peer, self._recording.local = peer, local
        if peer.rpartition(":")[0].strip("[]") == peer_name:
            # The host was named by its address.
            peer_name = ""
        self._recording.peer_name = peer_name = shown_field(peer_name)
        shown = f"{peer_name} ({peer})" if peer_name else peer or "a local program"
        self._add(Kind.OPENED, f"{shown} {'connected' if self._is_server else 'reached'}")

    def command(self, line: bytes, octets: int, is_secret: bool = False) -> None:
        text = shown_response(line) if is_secret else shown_command(line)
        self._add(Kind.COMMAND, text, self._commands, octets)
        verb = "AUTH" if is_secret else verb_of(line)
        argument = line.partition(b" ")[2]
        if verb == "BDAT" and argument.upper().endswith(b"LAST"):
            verb = "BDAT LAST"
        # A response of an exchange is no AUTH alone, which would ask for a list.
        self._dialogue.command(verb, is_secret or bool(argument))

    def reply(self, octets: bytes) -> None:
        self._dialogue.feed(octets)

    def body(self, octets: bytes) -> None:
        self._take_body(octets, self._commands)

    def body_ended_before(self, octets: int) -> None:
        self._body_octets = max(0, self._body_octets - octets)
        del self._body_kept[self._body_octets :]

    def _take_body(self, octets: bytes, direction: Direction) -> None:
        self._body_direction = direction
        self._body_octets += len(octets)
        room = self._most_of_body - len(self._body_kept)
        if room > 0:
            self._body_kept += octets[:room]

    def _end_body(self) -> None:
        octets, kept = self._body_octets, bytes(self._body_kept)
        self._body_octets = 0
        self._body_kept = bytearray()
        text = printable(kept, self._most_of_body) if kept else ""
        self._append(Kind.BODY, text, self._body_direction, octets, {})

    def dropped(self, octets: int) -> None:
        self._add(Kind.COMMAND, "[discarded]", Direction.IN, octets)

    def tls_octets(self, octets: bytes, is_inbound: bool) -> None:
        self._handshake.feed(octets, is_inbound)

    def tls_key_log(self, line: bytes) -> None:
        self._handshake.key_log(line)

    def secured(self, details: Mapping[str, Any]) -> None:
        if self._handshake.established():
            return
        version, cipher = details.get("version", ""), details.get("cipher", "")
        self._add(Kind.SECURED, f"{version} {cipher}".strip(), details=details)

    def told(self, name: str, fields: Mapping[str, object]) -> None:
        found = fact_of(name, fields)
        if found is not None:
            fact, details = found
            self._add(fact.kind, fact.text, details=details)
            if name == "pop3-login":
                self._add(Kind.STATE, "transaction")

    def verdict(self, text: str, **details: str | int) -> None:
        self._add(Kind.VERDICT, shown_field(text), details=_shown(details))

    def handled(self, text: str, **details: str | int) -> None:
        self._add(Kind.MESSAGE, shown_field(text), details=_shown(details))

    def committed(self, text: str, **details: str | int) -> None:
        self._add(Kind.COMMIT, shown_field(text), details=_shown(details))

    def closed(self, why: str) -> None:
        self._handshake.finish()
        self._add(Kind.CLOSED, shown_field(why))

    # Listener of the dialogue

    def reply_line(self, text: str, octets: int) -> None:
        self._add(Kind.REPLY, text, self._replies, octets)

    def reply_body(self, octets: bytes) -> None:
        self._take_body(octets, self._replies)

    def entered(self, state: str) -> None:
        # The server tells of its own login, with the account, before the reply.
        if not (self._is_server and isinstance(self._dialogue, POP3Dialogue) and state == "transaction"):
            self._add(Kind.STATE, state)

    def logged_in(self, succeeded: bool) -> None:
        if not self._is_server:
            self._add(Kind.LOGIN, "logged in" if succeeded else "login refused", details={"succeeded": succeeded})


def _shown(details: Mapping[str, str | int]) -> dict[str, Json]:
    return {key: value if isinstance(value, int) else shown_field(value) for key, value in details.items()}
