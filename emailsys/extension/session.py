"""Values that a check is told: the client, the transaction, and the message as a stream with its header section."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from emailsys.mail.message.fields import field_text

# The end of a field: its next line does not continue it (RFC 5322 §2.2.3).
_END: Final = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class Client:
    """The client of a session.

    @ivar session: the id of the session, as in the log.
    @ivar service: "smtp" for port 25, "submission" for the ports of users.
    @ivar ip: its address. @ivar local_ip: ours.
    @ivar helo: what it calls itself; None before EHLO or HELO.
    @ivar tls: version and cipher suite; None without TLS.
    @ivar account: the address of its login; None without one.
    @ivar is_trusted: whether it is in `routing.trusted_networks`.
    """

    session: str
    service: str
    ip: str
    local_ip: str = ""
    helo: str | None = None
    tls: str | None = None
    account: str | None = None
    is_trusted: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction so far.

    @ivar sender: the reverse-path; "" for the null one.
    @ivar recipients: the recipients that were accepted.
    @ivar size: the octets that the client declared, or 0; at the end of the message, those that it has sent.
    @ivar instance: an id of the transaction, the same from MAIL to the end of the message.
    @ivar queue_id: the id of the message, as in the log; "" before its end.
    """

    client: Client
    sender: str
    recipients: tuple[str, ...] = ()
    size: int = 0
    instance: str = ""
    queue_id: str = ""


class Field(NamedTuple):
    """A header field. Its value is unfolded; encoded words in it are not decoded."""

    name: str
    value: str


class Message:
    """A message that has arrived. Its lines end with CRLF, and our Received field comes first.

    Valid until the check has returned.
    """

    __slots__ = ("_fields", "_head", "_pieces", "octets")

    def __init__(self, head: bytes, octets: int, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        """@param head: the header section. @param pieces: returns the whole message from its beginning, each time."""
        self._head = head
        self._fields: tuple[Field, ...] | None = None
        self._pieces = pieces
        #: Its size.
        self.octets = octets

    @property
    def fields(self) -> tuple[Field, ...]:
        """The header fields, in their order. A line that is no field is left out."""
        # A stranger may send 65,000 of them.
        if self._fields is None:
            self._fields = tuple(_fields(self._head))
        return self._fields

    def field(self, name: str) -> str | None:
        """Return the value of the first field with a name, in any case; None without one."""
        wanted = re.escape(name.encode("utf-8", "replace"))
        found = re.search(rb"(?:\A|\r\n)" + wanted + rb"[ \t]*:", self._head, re.IGNORECASE)
        if found is None:
            return None
        end = _END.search(self._head, found.end())
        return field_text(self._head[found.end() : end.start() if end else None])

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the whole message, in pieces of at most 256 KiB. Other sessions go on between the pieces."""
        return self._pieces()

    async def read(self) -> bytes:
        """Return the whole message. It may have `smtp.max_message_size` octets."""
        return b"".join([piece async for piece in self])


def _fields(head: bytes) -> Iterator[Field]:
    lines: list[bytes] = []
    for line in (*head.split(b"\r\n"), b""):
        if line[:1] in (b" ", b"\t") and lines:
            lines.append(line)
            continue
        if lines:
            name, colon, value = b"\r\n".join(lines).partition(b":")
            if colon:
                yield Field(name.decode("latin-1").rstrip(" \t"), field_text(value))
        lines = [line]
