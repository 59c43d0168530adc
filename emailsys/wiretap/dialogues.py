"""Replies of SMTP and POP3, matched with their commands: where a line ends, what it answers, which state follows."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from typing import Final, Protocol

from typing_extensions import override

from emailsys.wiretap.masking import printable, shown_challenge, shown_reply_to_secret

# Octets of an unfinished line that are kept; its rest is only counted.
_MAX_LINE: Final = 2048
# Lines of one listing that are recorded one by one.
_MAX_LISTED: Final = 100
# Commands that wait for their replies. A client that pipelines more is answered by number only.
_MAX_PENDING: Final = 1000
_FINAL_LINE: Final = re.compile(rb"(\d{3})(?: |\Z)")


class Listener(Protocol):
    """The callbacks from a dialogue to its owner."""

    def reply_line(self, text: str, octets: int) -> None:
        """A line of a reply, as it may be shown."""

    def reply_body(self, octets: bytes) -> None:
        """Part of a message that was asked for."""

    def entered(self, state: str) -> None:
        """The session has entered another state."""

    def logged_in(self, succeeded: bool) -> None:
        """A login was answered."""


class Dialogue(ABC):
    """Commands in their order, and the stream of replies to them."""

    def __init__(self, listener: Listener, hides_replies: bool) -> None:
        """@param hides_replies: whether the answering side may repeat secrets: that is any host but this one."""
        self._listener = listener
        self._hides_replies = hides_replies
        self._pending: deque[str] = deque(maxlen=_MAX_PENDING)
        self._line = bytearray()
        self._line_octets = 0

    def command(self, verb: str, has_argument: bool) -> None:
        """A command was given. @param verb: upper case, "" if unknown."""
        self._pending.append(verb)

    def feed(self, octets: bytes) -> None:
        """Receive octets of replies."""
        start = 0
        while start < len(octets):
            start = self._take(octets, start)

    def _take(self, octets: bytes, start: int) -> int:
        end = octets.find(b"\n", start)
        stop = len(octets) if end < 0 else end + 1
        self._line_octets += stop - start
        room = _MAX_LINE - len(self._line)
        if room > 0:
            self._line += octets[start : min(stop, start + room)]
        if end >= 0:
            line, count = bytes(self._line), self._line_octets
            self._line.clear()
            self._line_octets = 0
            self._line_ended(line.rstrip(b"\r\n"), count)
        return stop

    @abstractmethod
    def _line_ended(self, line: bytes, octets: int) -> None:
        """Act on a whole line without its end."""


class SMTPDialogue(Dialogue):
    """RFC 5321: each command gets one reply of one or more lines; DATA gets a second one, to the message."""

    def __init__(self, listener: Listener, hides_replies: bool) -> None:
        super().__init__(listener, hides_replies)
        self._pending.append("")
        self._in_transaction = False

    @override
    def _line_ended(self, line: bytes, octets: int) -> None:
        verb = self._pending[0] if self._pending else ""
        if line.startswith(b"334"):
            text = shown_challenge(line, b"334 ")
        elif verb == "AUTH" and self._hides_replies:
            text = shown_reply_to_secret(line)
        else:
            text = printable(line)
        self._listener.reply_line(text, octets)
        found = _FINAL_LINE.match(line)
        if found is not None:
            if self._pending:
                self._pending.popleft()
            self._answered(verb, int(found[1]))

    def _answered(self, verb: str, code: int) -> None:
        listener, is_good = self._listener, 200 <= code < 300
        if verb == "DATA" and code == 354:
            listener.entered("message")
            self._pending.appendleft("message")
        elif verb == "AUTH" and code != 334:
            listener.logged_in(is_good)
        elif verb == "MAIL" and is_good:
            self._in_transaction = True
            listener.entered("transaction")
        elif verb in ("message", "BDAT LAST") or (is_good and verb in ("RSET", "EHLO", "HELO")):
            self._leave_transaction()

    def _leave_transaction(self) -> None:
        if self._in_transaction:
            self._in_transaction = False
            self._listener.entered("ready")


class POP3Dialogue(Dialogue):
    """RFC 1939: +OK or -ERR, and after some commands lines up to a single dot."""

    _LISTS: Final = frozenset({"CAPA", "LIST", "UIDL", "AUTH"})
    _MESSAGES: Final = frozenset({"RETR", "TOP"})

    def __init__(self, listener: Listener, hides_replies: bool) -> None:
        super().__init__(listener, hides_replies)
        self._pending.append("")
        self._in_list = False
        self._listed = 0
        self._unlisted = self._unlisted_octets = 0
        self._in_message = False
        # The end of what was read of a message: its final dot may come in pieces.
        self._tail = b""
        self._transaction = False

    @override
    def command(self, verb: str, has_argument: bool) -> None:
        is_list = verb in self._LISTS and not has_argument
        super().command(verb if not is_list else f"{verb} all", has_argument)

    @override
    def _take(self, octets: bytes, start: int) -> int:
        if not self._in_message:
            return super()._take(octets, start)
        tail = self._tail
        window = tail + octets[start:] if start or tail else octets
        end = window.find(b"\r\n.\r\n")
        if end < 0:
            self._tail = window[-4:]
            self._listener.reply_body(octets[start:])
            return len(octets)
        stop = start + end + 5 - len(tail)
        self._in_message = False
        self._listener.reply_body(octets[start:stop])
        return stop

    @override
    def _line_ended(self, line: bytes, octets: int) -> None:
        if self._in_list:
            self._list_line(line, octets)
            return
        verb = self._pending[0] if self._pending else ""
        is_good = line[:3].upper() == b"+OK"
        if line[:2] == b"+ " or line == b"+":
            text = shown_challenge(line, b"+ ")
        elif verb in ("AUTH", "PASS", "APOP") and self._hides_replies:
            text = shown_reply_to_secret(line)
        else:
            text = printable(line)
        self._listener.reply_line(text, octets)
        if self._pending:
            self._pending.popleft()
        if not (is_good or line[:4].upper() == b"-ERR"):
            return
        if is_good and verb.endswith(" all"):
            self._in_list = True
            self._listed = self._unlisted = self._unlisted_octets = 0
        elif is_good and verb in self._MESSAGES:
            self._in_message = True
            self._tail = b"\r\n"
        elif verb in ("PASS", "APOP", "AUTH"):
            self._listener.logged_in(is_good)
            if is_good:
                self._transaction = True
                self._listener.entered("transaction")
        elif verb == "QUIT" and is_good and self._transaction:
            self._listener.entered("update done")

    def _list_line(self, line: bytes, octets: int) -> None:
        if line == b".":
            self._in_list = False
            if self._unlisted:
                self._listener.reply_line(f"[{self._unlisted} more lines]", self._unlisted_octets)
        elif self._listed >= _MAX_LISTED:
            self._unlisted += 1
            self._unlisted_octets += octets
            return
        self._listed += 1
        self._listener.reply_line(printable(line), octets)
