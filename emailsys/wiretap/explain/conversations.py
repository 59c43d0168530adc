"""Explanations of the events of a conversation, in their order: a reply means what it answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from emailsys.wiretap.conversation import Event, Kind
from emailsys.wiretap.explain.lines import command, message, reply, verb_of
from emailsys.wiretap.explain.tables import Explanation, explanation, table, table_of


def explained(protocol: str, events: Iterable[Event]) -> Iterator[tuple[Event, Explanation]]:
    """Yields each event with its explanation. Works on a conversation as it happens, too."""
    walk = _Walk(protocol)
    for event in events:
        yield event, walk.step(event)


class _Walk:
    """Which command the next reply answers. Pipelined commands wait in a row."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._is_pop3 = table_of(protocol) == "pop3"
        # The greeting answers the connection.
        self._open: deque[str] = deque([""])
        self._current: str | None = ""
        self._is_first = True
        self._in_login = False

    def step(self, event: Event) -> Explanation:
        """Explains the next event."""
        if event.kind is Kind.COMMAND:
            return self._command(event.text)
        if event.kind is Kind.REPLY:
            return self._reply(event.text)
        if event.kind is Kind.TLS:
            return message(str(event.details.get("message", event.text)))
        return explanation(table("events")["event"][event.kind.value])

    def _command(self, line: str) -> Explanation:
        in_login, self._in_login = self._in_login, False
        self._open.append("AUTH by a response" if in_login else line)
        return command(self._protocol, line, in_login=in_login)

    def _reply(self, line: str) -> Explanation:
        if self._is_first:
            self._current = self._open.popleft() if self._open else None
        said = reply(self._protocol, line, self._current, is_first=self._is_first)
        if self._is_pop3:
            self._after_pop3(line)
        else:
            self._is_first = line[3:4] != "-"
            if self._is_first and line.startswith(("334", "354")):
                # The command is not answered yet: a line of the login or the message comes first.
                self._in_login = line.startswith("334")
                if not self._in_login and self._current is not None:
                    self._open.appendleft(self._current)
        return said

    def _after_pop3(self, line: str) -> None:
        if not self._is_first:
            self._is_first = line == "."
            return
        self._in_login = verb_of(line) == "+"
        # With an argument they have an answer of one line.
        has_list = (self._current or "").strip().upper() in ("CAPA", "LIST", "UIDL", "AUTH")
        self._is_first = not (has_list and line.upper().startswith("+OK"))
