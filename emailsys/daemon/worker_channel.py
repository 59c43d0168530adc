"""Channel between the daemon and a worker: messages and questions in both directions, one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from twisted.internet import protocol
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.telemetry import Telemetry

# Octets of a line. The settings of a large configuration are some kilobytes, a traceback less.
_MAX_LINE: Final = 16 * 1024 * 1024
_ANSWER: Final = "answer"
_FAILED: Final = "failed"

#: Acts on messages of one name. The answer to a question is what it returns, at once or later.
Handler = Callable[..., Any]


class ChannelLost(Exception):
    """The process at the other end has ended, or could not answer."""


class Channel(LineOnlyReceiver):
    """One end of the channel.

    @param handlers: those for the messages of the other end, by name. They get the fields as keyword arguments.
    @param lost: called once, when the other process has ended.
    """

    delimiter = b"\n"
    MAX_LENGTH = _MAX_LINE

    def __init__(self, handlers: Mapping[str, Handler], lost: Callable[[], None], telemetry: Telemetry) -> None:
        self._handlers = handlers
        self._lost = lost
        self._telemetry = telemetry
        self._number = 0
        self._asked: dict[int, Deferred[Any]] = {}
        #: Whether the other process has ended.
        self.is_lost = False

    def tell(self, name: str, /, **fields: object) -> None:
        """Send a message. It is dropped if the other process has ended."""
        self._send(name, None, fields)

    def ask(self, name: str, /, **fields: object) -> Deferred[Any]:
        """Send a question. The Deferred fires with the answer, or fails with ChannelLost."""
        self._number += 1
        answer = self._asked[self._number] = Deferred()
        if self.is_lost:
            self._answered(self._number, Failure(ChannelLost("the process has ended")))
        else:
            self._send(name, self._number, fields)
        return answer

    def abort(self) -> None:
        """Close the channel at once. `lost` is called."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def _send(self, name: str, number: int | None, fields: Mapping[str, object]) -> None:
        if self.transport is not None and not self.is_lost:
            self.transport.write(json.dumps([name, number, fields], default=str).encode() + b"\n")

    @override
    def lineReceived(self, line: bytes) -> None:
        name, number, fields = json.loads(line)
        if name == _ANSWER:
            self._answered(number, fields["result"])
        elif name == _FAILED:
            self._answered(number, Failure(ChannelLost(fields["why"])))
        elif number is None:
            _ = maybeDeferred(_called, self._handlers[name], fields).addErrback(self._log_exception)
        else:
            done = maybeDeferred(_called, self._handlers[name], fields)
            _ = done.addCallback(lambda result: self._send(_ANSWER, number, {"result": result}))
            _ = done.addErrback(self._failed, number)

    @override
    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.is_lost = True
        for number in tuple(self._asked):
            self._answered(number, Failure(ChannelLost("the process has ended")))
        self._lost()

    def _answered(self, number: int, result: object) -> None:
        answer = self._asked.pop(number)
        if not answer.called:
            answer.callback(result)

    def _failed(self, failure: Failure, number: int) -> None:
        if not failure.check(ChannelLost):
            self._log_exception(failure)
        self._send(_FAILED, number, {"why": failure.getErrorMessage()})

    def _log_exception(self, failure: Failure) -> None:
        self._telemetry.exception("worker-exception", failure)


def _called(handler: Handler, fields: Mapping[str, Any]) -> Any:
    result = handler(**fields)
    return Deferred.fromCoroutine(result) if isinstance(result, Coroutine) else result


class ChannelFactory(protocol.Factory):
    """Makes the one end that a reactor adopts."""

    noisy = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @override
    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return self._channel
