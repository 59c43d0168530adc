"""The messages that arrived, and how a test waits for one of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.mail.quantities import counted
from emailsys.testing.failures import FailureScript
from emailsys.testing.message import Message

#: The domain of a mailbox that is named without one.
DOMAIN: Final = "example.test"
#: Seconds that a test waits for a message. A message that was sent before the call is found at once.
DEFAULT_TIMEOUT: Final = 5.0
# Messages that the text of an error lists.
_LISTED: Final = 20


class NoSuchMail(AssertionError):
    """No message arrived that fits. The text says which messages did arrive."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which message a test waits for. A criterion that is None fits all messages."""

    mailbox: str | None = None
    subject: str | re.Pattern[str] | None = None
    sender: str | re.Pattern[str] | None = None
    where: Callable[[Message], object] | None = None

    def fits(self, message: Message) -> bool:
        """Whether a message is wanted."""
        if self.mailbox is not None and not message.is_to(self.mailbox):
            return False
        if self.subject is not None and not _contains(self.subject, message.subject):
            return False
        if self.sender is not None and not any(
            _is_address(self.sender, address) for address in (message.sender, message.envelope_from)
        ):
            return False
        return self.where is None or bool(self.where(message))

    def __str__(self) -> str:
        said = [f"for {self.mailbox!r}"] if self.mailbox is not None else []
        if self.subject is not None:
            said.append(f"with subject {_shown(self.subject)}")
        if self.sender is not None:
            said.append(f"from {_shown(self.sender)}")
        if self.where is not None:
            said.append("that meets the condition")
        return " ".join(["message", *said])


#: Every message is wanted.
EVERYTHING: Final = Wanted()


def _contains(wanted: str | re.Pattern[str], text: str) -> bool:
    return wanted in text if isinstance(wanted, str) else wanted.search(text) is not None


def _is_address(wanted: str | re.Pattern[str], address: str) -> bool:
    return wanted.lower() == address.lower() if isinstance(wanted, str) else wanted.search(address) is not None


def _shown(wanted: str | re.Pattern[str]) -> str:
    return repr(wanted) if isinstance(wanted, str) else f"matching {wanted.pattern!r}"


class Inbox:
    """All messages that one server accepted, oldest first. Any thread may use it."""

    def __init__(self, script: FailureScript, most_octets: int = 0, most_messages: int = 0) -> None:
        """
        @param most_octets: octets of messages that are kept, the newest; 0 for no limit.
        @param most_messages: the same for their number.
        """
        self._messages: list[Message] = []
        self._octets = 0
        self._most, self._most_messages = most_octets, most_messages
        #: How many messages were dropped for newer ones.
        self.dropped = 0
        self._changed = threading.Condition()
        self._script = script
        #: Called with each message, in the reactor's thread.
        self.observers: list[Callable[[Message], object]] = []

    def add(self, message: Message) -> None:
        """Add a message, wake those that wait, and tell the observers."""
        with self._changed:
            self._messages.append(message)
            self._octets += len(message.raw)
            while len(self._messages) > 1 and self._has_too_many:
                self._octets -= len(self._messages.pop(0).raw)
                self.dropped += 1
            self._changed.notify_all()
        for observer in tuple(self.observers):
            observer(message)

    @property
    def _has_too_many(self) -> bool:
        return bool(
            (self._most and self._octets > self._most)
            or (self._most_messages and len(self._messages) > self._most_messages)
        )

    def clear(self) -> None:
        """Forget all messages."""
        with self._changed:
            self._messages.clear()
            self._octets = 0

    @property
    def messages(self) -> list[Message]:
        """The messages so far."""
        with self._changed:
            return list(self._messages)

    def first(self, wanted: Wanted, after: Message | None = None) -> Message | None:
        """Return the first message that fits, of those that arrived after another one; None if there is none."""
        return _first(self.messages, wanted, after)

    def wait_for(self, wanted: Wanted, timeout: float, after: Message | None = None) -> Message:
        """Return the first message that fits. Blocks until it is there.

        @param timeout: seconds.
        @raise NoSuchMail: no such message arrived in time.
        """
        ends_at = time.monotonic() + timeout
        with self._changed:
            while (found := _first(self._messages, wanted, after)) is None:
                left = ends_at - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        if found is None:
            raise self.missing(wanted, timeout)
        return found

    def missing(self, wanted: Wanted, timeout: float) -> NoSuchMail:
        """Return the error that says what did arrive."""
        there = self.messages
        lines = [f"no {wanted} arrived within {timeout:g} s."]
        if there:
            lines[0] += f" {len(there)} other {'message' if len(there) == 1 else 'messages'} arrived:"
            lines += [f"  {number}. {_line(message)}" for number, message in enumerate(there[:_LISTED], 1)]
            if len(there) > _LISTED:
                lines.append(f"  and {len(there) - _LISTED} more")
        else:
            lines[0] += " No message arrived at all."
        if self._script.history:
            lines.append("scripted failures that happened:")
            lines += [f"  {line}" for line in self._script.history[:_LISTED]]
        return NoSuchMail("\n".join(lines))


def _first(messages: Sequence[Message], wanted: Wanted, after: Message | None) -> Message | None:
    start = 0 if after is None else next((at + 1 for at, one in enumerate(messages) if one is after), 0)
    return next((message for message in messages[start:] if wanted.fits(message)), None)


def _line(message: Message) -> str:
    return f"from {message.sender or '<>'} to {', '.join(message.envelope_to[:5])}, subject {message.subject[:200]!r}"


def address_of(name: str) -> str:
    """Return the address of a mailbox: its name, with `DOMAIN` if it has no domain."""
    return name if "@" in name else f"{name}@{DOMAIN}"


class Mailbox:
    """The messages for one address.

    @ivar name: an address, or a local part, which stands for that name in any domain.
    @ivar address: an address to send to: the name, with `example.test` if it has no domain.
    """

    def __init__(self, inbox: Inbox, name: str) -> None:
        self._inbox = inbox
        self.name = name
        self.address = address_of(name)

    def __repr__(self) -> str:
        return f"<Mailbox {self.name!r}: {counted(len(self), 'message')}>"

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def messages(self) -> list[Message]:
        """The messages that have arrived, oldest first."""
        return [message for message in self._inbox.messages if message.is_to(self.name)]

    def wait_for(
        self,
        *,
        subject: str | re.Pattern[str] | None = None,
        sender: str | re.Pattern[str] | None = None,
        where: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Message:
        """Return the first message that fits all criteria. Blocks until it is there.

        @param subject: a text that the subject contains, or a regular expression that is found in it.
        @param sender: an address (From, or the reverse-path), or a regular expression that is found in it.
        @param where: returns whether a message is wanted.
        @param after: only messages that arrived after this one.
        @param timeout: seconds.
        @raise NoSuchMail: no such message arrived in time. The text says what did arrive.
        """
        return self._inbox.wait_for(Wanted(self.name, subject, sender, where), timeout, after)
