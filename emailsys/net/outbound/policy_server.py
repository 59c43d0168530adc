"""Check by a policy server of Postfix, such as postgrey: asks it about each recipient."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.extension import (
    Accept,
    AddField,
    CheckContext,
    CheckFailed,
    Client,
    Defer,
    PolicyCheck,
    Quarantine,
    Redirect,
    Refuse,
    Transaction,
    Verdict,
)
from emailsys.net.outbound.server_address import endpoint_of
from emailsys.wire.policy_delegation import Action, PolicyAnswerError, answer, reply_action, request

# Connections at the same time. Requests wait for one; policy servers answer in milliseconds.
_MAX_CONNECTIONS: Final = 50
# As Postfix: access_map_reject_code and access_map_defer_code.
_REJECT: Final = 554
_MAX_TEXT: Final = 400
# access(5): DEFER_IF_REJECT is for a rejection by a later restriction, and the server is asked after all others.
_NO_OPINION: Final = frozenset({"DUNNO", "INFO", "WARN", "DEFER_IF_REJECT"})
_DEFERS: Final = frozenset({"DEFER", "DEFER_IF_PERMIT"})


class PolicyServerError(CheckFailed):
    """A policy server cannot be asked, or answers what cannot be carried out."""


class PolicyServer(PolicyCheck):
    """Asks a policy server at RCPT. Clients of trusted networks are not checked.

    The argument of the context is "inet:HOST:PORT" or "unix:PATH", as in the configuration of Postfix.
    """

    def __init__(self, context: CheckContext, endpoint: IStreamClientEndpoint | None = None) -> None:
        """
        @param endpoint: in place of the argument.
        @raise ValueError: the argument names no server.
        """
        self._endpoint = endpoint or endpoint_of(context.argument, context.reactor)
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._waiting: deque[Deferred[None]] = deque()
        self._count = 0

    @override
    async def recipient(self, transaction: Transaction, recipient: str) -> Verdict | None:
        if transaction.client.is_trusted:
            return None
        return _verdict(await self._ask(request(_attributes(transaction, recipient))))

    @override
    async def stop(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    async def _ask(self, octets: bytes) -> Action:
        """Send a request and return the answer. If the server has closed an idle connection, try a new one.

        @raise PolicyServerError: there is no answer, or a wrong one.
        """
        await self._turn()
        connection = None
        try:
            while self._idle:
                connection = self._idle.pop()
                try:
                    return await connection.ask(octets)
                except ConnectionDone:
                    # Servers close idle connections, or were restarted.
                    continue
            connection = await self._connected()
            return await connection.ask(octets)
        except PolicyAnswerError as error:
            raise PolicyServerError(f"the policy server gave no valid answer: {error}") from None
        except CancelledError:
            raise
        except Exception as error:
            raise PolicyServerError(f"the policy server gave no answer: {error}") from None
        finally:
            if connection is not None and connection.is_idle:
                self._idle.append(connection)
            self._count -= 1
            if self._waiting:
                self._waiting.popleft().callback(None)

    async def _turn(self) -> None:
        """Wait until there is a free connection for this request, and take it."""
        while self._count >= _MAX_CONNECTIONS:
            turn: Deferred[None] = Deferred(lambda turn: self._waiting.remove(turn))
            self._waiting.append(turn)
            await turn
        self._count += 1

    async def _connected(self) -> _Connection:
        protocol: Any = await self._endpoint.connect(Factory.forProtocol(_Connection))
        connection: _Connection = protocol
        self._open.add(connection)
        connection.forget = self._forget
        return connection

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(Protocol):
    """A connection to a policy server: one request at a time."""

    def __init__(self) -> None:
        self.forget: Any = lambda connection: None
        self._octets = b""
        self._asked: Deferred[Action] | None = None
        self._is_lost = False

    @property
    def is_idle(self) -> bool:
        """Whether the next request can be sent."""
        return self._asked is None and not self._is_lost

    def ask(self, octets: bytes) -> Deferred[Action]:
        """Send a request. A cancelled one ends the connection: its answer must not be taken for that of another."""
        self._octets = b""
        asked: Deferred[Action] = Deferred(lambda cancelled: self.abort())
        self._asked = asked
        transport: Any = self.transport
        transport.write(octets)
        return asked

    def abort(self) -> None:
        """End the connection."""
        self._is_lost = True
        transport: Any = self.transport
        transport.abortConnection()

    @override
    def dataReceived(self, data: bytes) -> None:
        asked = self._asked
        if asked is None:
            # Nothing was asked: the server would be one answer ahead.
            self.abort()
            return
        self._octets += data
        try:
            action = answer(self._octets)
        except PolicyAnswerError:
            self._asked = None
            self.abort()
            asked.errback(Failure())
            return
        if action is not None:
            self._asked = None
            asked.callback(action)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_lost = True
        self.forget(self)
        asked, self._asked = self._asked, None
        if asked is not None and not asked.called:
            asked.errback(PolicyAnswerError("it is cut off") if self._octets else ConnectionDone())


def _attributes(transaction: Transaction, recipient: str) -> dict[str, str]:
    client: Client = transaction.client
    return {
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "helo_name": client.helo or "",
        "queue_id": "",
        "sender": transaction.sender,
        "recipient": recipient,
        "recipient_count": "0",
        "client_address": client.ip,
        # As Postfix writes it for a client without a name: names of clients are not looked up here.
        "client_name": "unknown",
        "reverse_client_name": "unknown",
        # The same for all recipients of a transaction, so that servers count it once.
        "instance": transaction.instance,
        "sasl_method": "",
        "sasl_username": client.account or "",
        "sasl_sender": "",
        "size": str(transaction.size),
        "encryption_protocol": (client.tls or "").partition(" ")[0],
        "server_address": client.local_ip,
    }


def _verdict(action: Action) -> Verdict | None:
    """Return the verdict for an action of access(5).

    @raise PolicyServerError: this system does not know the action.
    """
    name, argument = action
    argument = argument[:_MAX_TEXT]
    if name in _NO_OPINION:
        return None
    if name == "OK":
        return Accept()
    try:
        said = reply_action(Action(name, argument))
        if name == "REJECT":
            return _refusal(argument, _REJECT, "5.7.1")
        if name in _DEFERS:
            return _refusal(argument, 450, "4.7.1")
        if said is not None:
            return _refusal(said.text, said.code, said.enhanced or f"{said.code // 100}.7.1")
        if name == "PREPEND":
            field, colon, value = argument.partition(":")
            if not colon:
                raise ValueError(f"{argument!r} is no header field")
            return AddField(field.rstrip(), value.strip())
        if name == "HOLD":
            return Quarantine(argument or "held by the policy server")
        if name == "REDIRECT":
            return Redirect(argument)
    except ValueError as error:
        raise PolicyServerError(f"the policy server answered {name} with what is not valid: {error}") from None
    raise PolicyServerError(f"the policy server answered {name[:40]!r}, which is not known here")


def _refusal(text: str, code: int, enhanced: str) -> Verdict:
    """Return a refusal. The text may begin with an enhanced status code of its own."""
    said = reply_action(Action(str(code), text))
    if said is not None and said.enhanced:
        text, enhanced = said.text, said.enhanced
    if code >= 500:
        return Refuse(text or "access denied", code, enhanced)
    return Defer(text or "try again later", code, enhanced)
