"""Short conversation with another program on this or another machine: write, and read what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.extension import CheckFailed

T = TypeVar("T")


class Question(Protocol):
    """A connection on which one answer at a time is read."""

    def __init__(self) -> None:
        self._octets = b""
        self._wake: Deferred[None] | None = None
        self._lost = ""

    def write(self, octets: bytes) -> None:
        """Send octets."""
        transport: Any = self.transport
        transport.write(octets)

    async def line(self, most: int) -> bytes:
        """Return the next line without its end.

        @raise CheckFailed: it has more octets than `most`, or the connection was lost.
        """

        def found(octets: bytes) -> tuple[bytes, bytes] | None:
            line, end, rest = octets.partition(b"\n")
            if len(line) >= most:
                raise CheckFailed("the other program sends too long a line")
            return (line, rest) if end else None

        return await self._read(found)

    async def answer(self, read: Callable[[bytes], T | None]) -> T:
        """Return what `read` makes of all octets that have come, once it is not None.

        @raise CheckFailed: the connection was lost.
        """

        def found(octets: bytes) -> tuple[T, bytes] | None:
            answer = read(octets)
            return None if answer is None else (answer, b"")

        return await self._read(found)

    def start_tls(self, creator: Any) -> None:
        """Begin TLS."""
        transport: Any = self.transport
        transport.startTLS(creator)

    def end(self) -> None:
        """Close the connection. A coroutine that waits for an answer is not woken."""
        self._wake = None
        transport: Any = self.transport
        transport.abortConnection()

    async def _read(self, found: Callable[[bytes], tuple[T, bytes] | None]) -> T:
        while True:
            taken = found(self._octets) if self._octets else None
            if taken is not None:
                answer, self._octets = taken
                return answer
            if self._lost:
                raise CheckFailed(f"the other program gave no answer: {self._lost}")
            self._wake = Deferred()
            await self._wake

    @override
    def dataReceived(self, data: bytes) -> None:
        self._octets += data
        self._go_on()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason.getErrorMessage() or "the connection was lost"
        self._go_on()

    def _go_on(self) -> None:
        wake, self._wake = self._wake, None
        # A cancelled one was called already.
        if wake is not None and not wake.called:
            wake.callback(None)


async def ask(endpoint: IStreamClientEndpoint) -> Question:
    """Connect.

    @raise CheckFailed: there is no connection.
    """
    try:
        protocol: Any = await endpoint.connect(Factory.forProtocol(Question))
    except Exception as error:
        raise CheckFailed(f"no connection: {error}") from None
    question: Question = protocol
    return question
