"""Blocking POP3 client: commands, streamed messages, and time limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from emailsys.client.fetch.stream import Stream, StreamLost, StreamTimeout
from emailsys.net.tls.peer import ExpectedServer
from emailsys.wire.pop3 import client_commands as commands
from emailsys.wire.pop3.client import MAX_UNDER_WAY, Answer, Answered, Broken, Piece, POP3ClientSession
from emailsys.wire.pop3.client_commands import Capabilities, Command

#: Seconds for the TCP connection.
CONNECT_TIMEOUT: Final = 30.0
# Commands queued in the session, so that it always has one to send.
_QUEUED_COMMANDS: Final = 2 * MAX_UNDER_WAY


@dataclass(frozen=True, slots=True)
class POP3Timeouts:
    """Maximum seconds of silence in each state of a session."""

    handshake: float = 30.0
    greeting: float = 60.0
    # Servers delay logins after failed ones.
    login: float = 120.0
    # Opening a large maildrop, or deleting its messages at QUIT, may take minutes.
    answer: float = 300.0


class POP3Lost(Exception):
    """There is no session, or it was lost. The message says why.

    `certificate`: TLS rejected the server's certificate.
    """

    def __init__(self, message: str, *, certificate: bool = False) -> None:
        super().__init__(message)
        self.certificate = certificate


class POP3Refused(Exception):
    """The server answered -ERR. `answer` is its reply, `command` the command."""

    def __init__(self, command: str, answer: Answer) -> None:
        super().__init__(f"the server refused {command}: {answer.text or 'no reason given'}")
        self.command = command
        self.answer = answer


class POP3Client:
    """A POP3 session of one thread. Its owner has to close it.

    Methods block until the answer. They raise POP3Refused for -ERR, and POP3Lost if the connection is lost or the
    server is silent.
    """

    def __init__(self, stream: Stream, host: str, timeouts: POP3Timeouts | None = None) -> None:
        """@param stream: a connected stream. @param host: the server's name in errors."""
        self._stream = stream
        self._host = host
        self._timeouts = timeouts or POP3Timeouts()
        self._session = POP3ClientSession()
        #: Capabilities of the last CAPA; empty if the server does not know CAPA.
        self.capabilities = Capabilities()

    # Before the login

    def greet(self) -> None:
        """Wait for the greeting. @raise POP3Lost: also if the server answers -ERR."""
        answer = self._answer()
        if not answer.ok:
            raise POP3Lost(f"{self._host} refuses service: {answer.text or 'no reason given'}")

    def query_capabilities(self) -> Capabilities:
        """Query the capabilities (RFC 2449). A server without CAPA has none."""
        answer = self.ask(commands.capa())
        self.capabilities = commands.capabilities(answer.lines) if answer.ok else Capabilities()
        self._session.pipelining = "PIPELINING" in self.capabilities
        return self.capabilities

    def enable_utf8(self) -> None:
        """Enable UTF-8 messages (RFC 6856 §2) if the server offers that."""
        if "UTF8" in self.capabilities:
            self.ask(commands.utf8())

    def begin_tls(self, server: ExpectedServer) -> None:
        """Do the TLS handshake, at the start of the connection or after STLS."""
        try:
            self._stream.start_tls(server, self._timeouts.handshake)
        except StreamTimeout as error:
            raise POP3Lost(f"the TLS handshake with {self._host} took too long") from error
        except StreamLost as error:
            said = str(error) if error.certificate else f"no TLS with {self._host}: {error}"
            raise POP3Lost(said, certificate=error.certificate) from error

    def start_tls(self, server: ExpectedServer) -> None:
        """Start TLS by STLS (RFC 2595). The capabilities have to be queried again after it."""
        self._ok(commands.stls())
        self.begin_tls(server)
        self._session.tls_began()
        self.capabilities = Capabilities()

    def login(self, username: str, password: str) -> None:
        """Log in by the first offered method of: AUTH PLAIN, USER and PASS, AUTH LOGIN."""
        mechanisms = self.capabilities.mechanisms
        if "PLAIN" in mechanisms:
            self._ok(commands.auth_plain(username, password))
        elif "USER" not in self.capabilities and "LOGIN" in mechanisms:
            self._ok(commands.auth_login(username, password))
        else:
            self._ok(commands.user(username))
            self._ok(commands.password(password))

    def login_by_token(self, username: str, token: str) -> None:
        """Log in by XOAUTH2 with a bearer token."""
        self._ok(commands.auth_xoauth2(username, token))

    # After the login

    def unique_ids(self) -> dict[int, str]:
        """Return the unique ids by message number (UIDL)."""
        return commands.unique_ids(self._ok(commands.uidl()).lines)

    def unique_ids_and_sizes(self) -> tuple[dict[int, str], dict[int, int]]:
        """Return unique ids (UIDL) and sizes in octets (LIST) by message number, pipelined if possible.

        Sizes of some servers are inexact.
        """
        asked = [commands.uidl(), commands.sizes()]
        uids, sizes = map(_accepted, asked, self.answers(asked))
        return commands.unique_ids(uids.lines), commands.octets_of(sizes.lines)

    def events(self, asked: Iterable[Command]) -> Iterator[Answered | Piece]:
        """Send commands, pipelined if possible. Yield pieces of messages, and answers in order of the commands.

        -ERR is an answer here. If the iteration is not finished, the session cannot be used again.
        """
        remaining = iter(asked)
        under_way = self._ask(islice(remaining, _QUEUED_COMMANDS))
        while under_way:
            event = self._next()
            yield event
            if isinstance(event, Answered):
                under_way += self._ask(islice(remaining, 1)) - 1

    def answers(self, asked: Iterable[Command]) -> list[Answer]:
        """Send commands and wait for all answers. -ERR is an answer here."""
        return [event.answer for event in self.events(asked) if isinstance(event, Answered)]

    def ask(self, command: Command) -> Answer:
        """Send one command, not for a message, and wait for its answer. -ERR is an answer here."""
        return self.answers([command])[0]

    def quit(self) -> None:
        """Send QUIT. When this returns, the server has deleted the messages. Always closes the connection."""
        try:
            self._ok(commands.end())
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection. Without `quit` before it, nothing is deleted (RFC 1939 §6)."""
        self._stream.close()

    @property
    def pipelining(self) -> bool:
        """Whether the server accepts pipelined commands."""
        return self._session.pipelining

    @property
    def tls(self) -> str:
        """TLS version and cipher suite, for example "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" without TLS."""
        connection = self._stream.tls
        return f"{connection.get_protocol_version_name()} {connection.get_cipher_name()}" if connection else ""

    @property
    def peer_host(self) -> str:
        """The server's address, "" where it has none."""
        return self._stream.peer_host

    @property
    def peer_certificate(self) -> Any:
        """The server's certificate as a pyOpenSSL object; None without TLS."""
        return self._stream.tls.get_peer_certificate() if self._stream.tls else None

    # Inside

    def _ok(self, command: Command) -> Answer:
        return _accepted(command, self.ask(command))

    def _ask(self, asked: Iterable[Command]) -> int:
        """Queue commands. Return their number."""
        count = 0
        for command in asked:
            self._session.ask(command)
            count += 1
        return count

    def _answer(self) -> Answer:
        event = self._next()
        assert isinstance(event, Answered)
        return event.answer

    def _next(self) -> Answered | Piece:
        session = self._session
        while (event := session.next_event()) is None:
            octets = self._exchange()
            if not octets:
                raise POP3Lost(f"the connection to {self._host} was lost{self._during()}: the host closed it")
            session.feed(octets)
        if isinstance(event, Broken):
            raise POP3Lost(f"{self._host} does not speak POP3: {event.why}")
        return event

    def _exchange(self) -> bytes:
        """Send the pending octets, and return received ones."""
        time_limit = self._time_limit()
        try:
            self._stream.send(self._session.take(), time_limit)
            return self._stream.receive(time_limit)
        except StreamTimeout as error:
            expected = self._session.expects
            asked = expected.shown if expected is not None else "nothing"
            raise POP3Lost(f"{self._host} did not answer {asked} in time") from error
        except StreamLost as error:
            raise POP3Lost(f"the connection to {self._host} was lost{self._during()}: {error}") from error

    def _during(self) -> str:
        expected = self._session.expects
        return f" in answer to {expected.shown}" if expected is not None else ""

    def _time_limit(self) -> float:
        expected = self._session.expects
        if expected is self._session.greeting:
            return self._timeouts.greeting
        if expected is not None and expected.alone:
            return self._timeouts.login
        return self._timeouts.answer


def _accepted(command: Command, answer: Answer) -> Answer:
    """Return a positive answer. @raise POP3Refused: the answer is -ERR."""
    if not answer.ok:
        raise POP3Refused(command.shown, answer)
    return answer


def connect(
    stream: Stream,
    host: str,
    port: int,
    *,
    shown: str = "",
    tls: ExpectedServer | None = None,
    stls: ExpectedServer | None = None,
    timeouts: POP3Timeouts | None = None,
) -> POP3Client:
    """Connect, wait for the greeting, start TLS, and query the capabilities.

    @param shown: the server's name in errors; by default `host`.
    @param tls: the expected server for implicit TLS.
    @param stls: the expected server for STLS. Without STLS the connection fails.
    @raise POP3Lost: no connection, no TLS, or the server refuses service.
    """
    shown = shown or host
    client = POP3Client(stream, shown, timeouts)
    try:
        try:
            stream.connect(host, port, CONNECT_TIMEOUT)
        except StreamLost as error:
            raise POP3Lost(f"no connection to {shown}: {error}") from error
        if tls is not None:
            client.begin_tls(tls)
        client.greet()
        client.query_capabilities()
        if stls is not None:
            if client.capabilities.offered and "STLS" not in client.capabilities:
                raise POP3Lost(f"{shown} offers no STLS, and nothing is sent to it in the clear")
            try:
                client.start_tls(stls)
            except POP3Refused as refused:
                raise POP3Lost(f"{shown} refuses STLS: {refused.answer.text}") from refused
            client.query_capabilities()
    except BaseException:
        client.close()
        raise
    return client
