"""Our end of a connection to a POP3 server: commands awaited, messages handed on as they come, time limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.net.deadline import Deadline
from emailsys.net.loss import why
from emailsys.net.tls import describe
from emailsys.net.tls_client import PeerCertificateError
from emailsys.wire import pop3_client_commands as commands
from emailsys.wire.pop3_client import Answer, Answered, Broken, Event, Piece, POP3ClientSession
from emailsys.wire.pop3_client_commands import Capabilities, Command

#: Seconds that TCP may take; for HostnameEndpoint.
CONNECT_TIMEOUT: Final = 30.0
# Seconds in which a connection is to be closed.
_CLOSE_TIMEOUT: Final = 5.0

#: Takes a message's octets as they come, CRLF lines, cut anywhere but within a CRLF.
TakePiece = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class POP3Timeouts:
    """Seconds of silence that are borne while something is awaited."""

    handshake: float = 30.0
    greeting: float = 60.0
    # Servers make those wait who logged in wrongly before.
    login: float = 120.0
    # A large maildrop may take a while to be opened, or to be emptied at QUIT.
    answer: float = 300.0


class POP3Lost(Exception):
    """There is no session, or none any more; the message says why in words. `certificate`: TLS refused the server."""

    def __init__(self, message: str, *, certificate: bool = False) -> None:
        super().__init__(message)
        self.certificate = certificate


class POP3Refused(Exception):
    """The server answered -ERR; `answer` has its words, `command` what it was asked."""

    def __init__(self, command: str, answer: Answer) -> None:
        super().__init__(f"the server refused {command}: {answer.text or 'no reason given'}")
        self.command = command
        self.answer = answer


@implementer(IHandshakeListener)
class POP3Client(StreamProtocol):
    """A session. Every method may be called while others wait; with PIPELINING all go out at once.

    Methods raise POP3Refused for -ERR and POP3Lost when the connection is gone. An awaited command that is cancelled
    ends the session, for its answer can't be told from others' any more.
    """

    # A TCP transport, one of TLS, or a test's: twisted.internet.interfaces has no name for all that is asked of it.
    _transport: Any

    def __init__(
        self, clock: IReactorTime, host: str, tls: IOpenSSLClientConnectionCreator | None, timeouts: POP3Timeouts
    ) -> None:
        """@param tls: for TLS from the first octet on; None for none."""
        self._host = host
        self._implicit = tls
        self._timeouts = timeouts
        self._session = POP3ClientSession()
        self._deadline = Deadline(clock, self._too_late)
        self._answers: dict[int, tuple[Deferred[Answer], TakePiece | None]] = {}
        self._handshake: Deferred[None] | None = None
        self._why: POP3Lost | None = None
        self._paused = False
        self._pumping = False
        self._closing = False
        self._lost = False
        #: The server's first words; fires when they have come.
        self.greeted = self._await(self._session.greeting, None)
        #: Fires when the connection is gone.
        self.gone: Deferred[None] = Deferred()
        #: TLS version and suite, "" in the clear.
        self.tls = ""
        #: What CAPA told last; empty where the server does not know CAPA.
        self.capabilities = Capabilities()

    # Before the login

    async def look(self) -> Capabilities:
        """Ask for capabilities (RFC 2449). A server that has no CAPA offers none."""
        answer = await self.ask(commands.capa())
        self.capabilities = commands.capabilities(answer.lines) if answer.ok else Capabilities()
        self._session.pipelining = "PIPELINING" in self.capabilities
        return self.capabilities

    async def say_utf8(self) -> None:
        """Ask for messages of SMTPUTF8 as they are (RFC 6856 §2), where that is offered."""
        if "UTF8" in self.capabilities:
            await self.ask(commands.utf8())

    async def start_tls(self, tls: IOpenSSLClientConnectionCreator) -> None:
        """STLS (RFC 2595). Ask for the capabilities anew then."""
        await self._ok(commands.stls())
        self._begin_handshake(tls)
        assert self._handshake is not None
        await self._handshake
        self._session.tls_began()
        self.capabilities = Capabilities()

    async def login(self, username: str, password: str) -> None:
        """By the best way that the capabilities offer: AUTH PLAIN, USER and PASS, AUTH LOGIN."""
        mechanisms = self.capabilities.mechanisms
        if "PLAIN" in mechanisms:
            await self._ok(commands.auth_plain(username, password))
        elif "USER" not in self.capabilities and "LOGIN" in mechanisms:
            await self._ok(commands.auth_login(username, password))
        else:
            await self._ok(commands.user(username))
            await self._ok(commands.password(password))

    async def login_by_token(self, username: str, token: str) -> None:
        """By XOAUTH2 with a bearer token."""
        await self._ok(commands.auth_xoauth2(username, token))

    # After it

    async def unique_ids(self) -> dict[int, str]:
        """The messages with their unique ids (UIDL)."""
        return commands.unique_ids((await self._ok(commands.uidl())).lines)

    async def sizes(self) -> dict[int, int]:
        """The messages with their sizes in octets (LIST), which servers don't always tell exactly."""
        return commands.octets_of((await self._ok(commands.sizes())).lines)

    def retrieve(self, message: int, take: TakePiece) -> Deferred[Answer]:
        """RETR. Fires when `take` has got the whole message, or with the refusal, which is a value here."""
        return self._deferred(commands.retr(message), take)

    def top(self, message: int, lines: int, take: TakePiece) -> Deferred[Answer]:
        """TOP: header section and so many lines, as `retrieve`."""
        return self._deferred(commands.top(message, lines), take)

    def delete(self, message: int) -> Deferred[Answer]:
        """DELE. It is carried out at `quit`."""
        return self._deferred(commands.dele(message), None)

    def ask(self, command: Command) -> Deferred[Answer]:
        """Any command but those for messages; a refusal is a value."""
        return self._deferred(command, None)

    async def quit(self) -> None:
        """Say goodbye: deletes are carried out when this returns. The connection is closed in any case."""
        try:
            await self._ok(commands.end())
        finally:
            self._hang_up()

    # How fast it comes

    def pause(self) -> None:
        """Read nothing more for now; the server waits, and so does the clock."""
        if not (self._paused or self._lost):
            self._paused = True
            self._transport.pauseProducing()
            self._arm()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            if not self._lost:
                self._transport.resumeProducing()
                self._arm()

    def abort(self, reason: str = "given up here") -> None:
        """Hang up without QUIT: deletes are void (RFC 1939 §6). Does nothing after `quit`."""
        if self._closing:
            return
        self._end(POP3Lost(reason))

    @property
    def pipelining(self) -> bool:
        """Whether the server takes commands before it has answered others."""
        return self._session.pipelining

    @property
    def peer_host(self) -> str:
        """The server's address, "" where it has none."""
        return str(getattr(self._transport.getPeer(), "host", ""))

    @property
    def peer_certificate(self) -> Any:
        """The server's certificate as pyOpenSSL has it; None in the clear."""
        return self._transport.getPeerCertificate() if self.tls else None

    # Inside

    async def _ok(self, command: Command) -> Answer:
        answer = await self._deferred(command, None)
        if not answer.ok:
            raise POP3Refused(command.shown, answer)
        return answer

    def _await(self, command: Command, take: TakePiece | None) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred(self._cancelled)
        self._answers[id(command)] = (answer, take)
        return answer

    def _cancelled(self, answer: Deferred[Answer]) -> None:
        answer.errback(CancelledError())
        self.abort()

    def _deferred(self, command: Command, take: TakePiece | None) -> Deferred[Answer]:
        answer = self._await(command, take)
        self._session.ask(command)
        if self._why is not None:
            del self._answers[id(command)]
            answer.errback(self._why)
        elif not self._pumping:
            self._flush()
            self._arm()
        return answer

    def _flush(self) -> None:
        octets = self._session.take()
        if octets and not self._lost:
            self._transport.write(octets)

    def _begin_handshake(self, tls: IOpenSSLClientConnectionCreator) -> None:
        self._handshake = Deferred(self._cancelled_handshake)
        self._arm()
        self._transport.startTLS(tls)

    def _cancelled_handshake(self, handshake: Deferred[None]) -> None:
        handshake.errback(CancelledError())
        self.abort()

    # What the transport says

    @override
    def connectionMade(self) -> None:
        self._transport = self.transport
        if hasattr(self._transport, "setTcpNoDelay"):
            self._transport.setTcpNoDelay(True)
        if self._implicit is not None:
            self._begin_handshake(self._implicit)
            assert self._handshake is not None
            # Whoever waits for the greeting hears of it.
            _ = self._handshake.addErrback(lambda failure: None)
        self._arm()

    def handshakeCompleted(self) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            self.tls = describe(self._transport) or "TLS"
            self._arm()
            handshake.callback(None)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._why is not None:
            return
        session = self._session
        session.feed(data)
        self._pumping = True
        try:
            while (event := session.next_event()) is not None and self._why is None:
                self._act(event)
        finally:
            self._pumping = False
        self._flush()
        self._arm()

    def _act(self, event: Event) -> None:
        if isinstance(event, Answered):
            answer, take = self._answers.pop(id(event.command))
            if event.octets and take is not None:
                take(event.octets)
            answer.callback(event.answer)
        elif isinstance(event, Piece):
            take = self._answers[id(event.command)][1]
            if take is not None:
                take(event.octets)
        else:
            assert isinstance(event, Broken)
            self._end(POP3Lost(f"{self._host} does not speak POP3: {event.why}"))

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self._deadline.clear()
        refused = reason.check(PeerCertificateError) is not None
        if refused:
            lost = POP3Lost(str(reason.value), certificate=True)
        elif self._handshake is not None:
            lost = POP3Lost(f"no TLS with {self._host}: {why(reason)}")
        else:
            expected = self._session.expects
            during = f" in answer to {expected.shown}" if expected is not None else ""
            lost = POP3Lost(f"the connection to {self._host} was lost{during}: {why(reason)}")
        self._fail(lost)
        self.gone.callback(None)

    # The end

    def _arm(self) -> None:
        """Set the deadline for what is awaited now."""
        if self._closing:
            return
        expected = self._session.expects
        if self._lost or self._paused or (self._handshake is None and expected is None):
            self._deadline.pause()
        elif self._handshake is not None:
            self._deadline.set(self._timeouts.handshake)
        elif expected is self._session.greeting:
            self._deadline.set(self._timeouts.greeting)
        elif expected is not None and expected.alone:
            self._deadline.set(self._timeouts.login)
        else:
            self._deadline.set(self._timeouts.answer)

    def _too_late(self) -> None:
        expected = self._session.expects
        if self._closing:
            self._transport.abortConnection()
        elif self._handshake is not None:
            self._end(POP3Lost(f"the TLS handshake with {self._host} took too long"))
        else:
            asked = expected.shown if expected is not None else "nothing"
            self._end(POP3Lost(f"{self._host} is silent, and {asked} is unanswered"))

    def _hang_up(self) -> None:
        if self._lost or self._closing:
            return
        self._closing = True
        self._fail(POP3Lost("the session is over"))
        # TLS waits for the server's close_notify.
        self._deadline.set(_CLOSE_TIMEOUT)
        self._transport.loseConnection()

    def _end(self, lost: POP3Lost) -> None:
        self._fail(lost)
        if not self._lost:
            self._transport.abortConnection()

    def _fail(self, lost: POP3Lost) -> None:
        """Tell all who wait; once."""
        if self._why is None:
            self._why = lost
        handshake, self._handshake = self._handshake, None
        if handshake is not None and not handshake.called:
            handshake.errback(lost)
        answers, self._answers = self._answers, {}
        for answer, _take in answers.values():
            if not answer.called:
                answer.errback(lost)


class _ClientFactory(Factory):
    noisy = False

    def __init__(self, client: POP3Client) -> None:
        self._client = client

    @override
    def buildProtocol(self, addr: object) -> POP3Client:
        return self._client


async def connect(
    endpoint: IStreamClientEndpoint,
    clock: IReactorTime,
    host: str,
    *,
    tls: IOpenSSLClientConnectionCreator | None = None,
    stls: IOpenSSLClientConnectionCreator | None = None,
    timeouts: POP3Timeouts | None = None,
) -> POP3Client:
    """Connect, greet, begin TLS and look at what is offered.

    @param host: how the server is called in errors.
    @param tls: for TLS from the first octet on. @param stls: for STLS, without which nothing is done.
    @raise POP3Lost: no connection, no TLS, or the server does not want us.
    """
    client = POP3Client(clock, host, tls, timeouts or POP3Timeouts())
    greeted = client.greeted
    try:
        await endpoint.connect(_ClientFactory(client))
    except CancelledError:
        raise
    except Exception as error:
        _ = greeted.addErrback(lambda failure: None)
        raise POP3Lost(f"no connection to {host}: {why(Failure(error))}") from error
    try:
        answer = await greeted
        if not answer.ok:
            raise POP3Lost(f"{host} serves nobody now: {answer.text or 'no reason given'}")
        await client.look()
        if stls is not None:
            if client.capabilities.offered and "STLS" not in client.capabilities:
                raise POP3Lost(f"{host} offers no STLS, and nothing is asked of it in the clear")
            try:
                await client.start_tls(stls)
            except POP3Refused as refused:
                raise POP3Lost(f"{host} refuses STLS: {refused.answer.text}") from refused
            await client.look()
    except BaseException:
        client.abort()
        raise
    return client


def listed(unique_ids: dict[int, str], sizes: dict[int, int]) -> Sequence[tuple[int, str, int]]:
    """Number, unique id and octets of each message that has all three, in the order of the maildrop."""
    return [(message, uid, sizes[message]) for message, uid in sorted(unique_ids.items()) if message in sizes]
