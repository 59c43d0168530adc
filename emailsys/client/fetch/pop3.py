"""Our end of a session with a POP3 server, for whoever may block: commands, messages as they come, time limits."""

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

#: Seconds that TCP may take.
CONNECT_TIMEOUT: Final = 30.0
# Commands that the session is given at once: enough that it never lacks one to send.
_AHEAD: Final = 2 * MAX_UNDER_WAY


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


class POP3Client:
    """A session, of one thread. Methods wait for their answers; they raise POP3Refused for -ERR, and POP3Lost when the
    connection is gone or the server is silent. Whoever made it closes it."""

    def __init__(self, stream: Stream, host: str, timeouts: POP3Timeouts | None = None) -> None:
        """@param stream: connected. @param host: how the server is called in errors."""
        self._stream = stream
        self._host = host
        self._timeouts = timeouts or POP3Timeouts()
        self._session = POP3ClientSession()
        #: What CAPA told last; empty where the server does not know CAPA.
        self.capabilities = Capabilities()

    # Before the login

    def greet(self) -> None:
        """Wait for the server's first words. @raise POP3Lost: it serves nobody, too."""
        answer = self._answer()
        if not answer.ok:
            raise POP3Lost(f"{self._host} serves nobody now: {answer.text or 'no reason given'}")

    def query_capabilities(self) -> Capabilities:
        """Ask for capabilities (RFC 2449). A server that has no CAPA offers none."""
        answer = self.ask(commands.capa())
        self.capabilities = commands.capabilities(answer.lines) if answer.ok else Capabilities()
        self._session.pipelining = "PIPELINING" in self.capabilities
        return self.capabilities

    def enable_utf8(self) -> None:
        """Ask for messages of SMTPUTF8 as they are (RFC 6856 §2), where that is offered."""
        if "UTF8" in self.capabilities:
            self.ask(commands.utf8())

    def begin_tls(self, server: ExpectedServer) -> None:
        """TLS from the first octet on, or behind STLS."""
        try:
            self._stream.start_tls(server, self._timeouts.handshake)
        except StreamTimeout as error:
            raise POP3Lost(f"the TLS handshake with {self._host} took too long") from error
        except StreamLost as error:
            said = str(error) if error.certificate else f"no TLS with {self._host}: {error}"
            raise POP3Lost(said, certificate=error.certificate) from error

    def start_tls(self, server: ExpectedServer) -> None:
        """STLS (RFC 2595). Ask for the capabilities anew then."""
        self._ok(commands.stls())
        self.begin_tls(server)
        self._session.tls_began()
        self.capabilities = Capabilities()

    def login(self, username: str, password: str) -> None:
        """By the best way that the capabilities offer: AUTH PLAIN, USER and PASS, AUTH LOGIN."""
        mechanisms = self.capabilities.mechanisms
        if "PLAIN" in mechanisms:
            self._ok(commands.auth_plain(username, password))
        elif "USER" not in self.capabilities and "LOGIN" in mechanisms:
            self._ok(commands.auth_login(username, password))
        else:
            self._ok(commands.user(username))
            self._ok(commands.password(password))

    def login_by_token(self, username: str, token: str) -> None:
        """By XOAUTH2 with a bearer token."""
        self._ok(commands.auth_xoauth2(username, token))

    # After it

    def unique_ids(self) -> dict[int, str]:
        """The messages with their unique ids (UIDL)."""
        return commands.unique_ids(self._ok(commands.uidl()).lines)

    def unique_ids_and_sizes(self) -> tuple[dict[int, str], dict[int, int]]:
        """The messages with their unique ids (UIDL), and with their octets (LIST), which servers don't always tell
        exactly. Both are asked in one go where the server takes that."""
        asked = [commands.uidl(), commands.sizes()]
        uids, sizes = map(_accepted, asked, self.answers(asked))
        return commands.unique_ids(uids.lines), commands.octets_of(sizes.lines)

    def events(self, asked: Iterable[Command]) -> Iterator[Answered | Piece]:
        """Ask all of them, with PIPELINING many at once, and give what comes: pieces of messages, and answers in the
        order of the commands; -ERR is an answer here. Whoever does not wait for the end can't use the session again."""
        left = iter(asked)
        under_way = self._ask(islice(left, _AHEAD))
        while under_way:
            event = self._next()
            yield event
            if isinstance(event, Answered):
                under_way += self._ask(islice(left, 1)) - 1

    def answers(self, asked: Iterable[Command]) -> list[Answer]:
        """Ask all of them, and wait for all answers; -ERR is one."""
        return [event.answer for event in self.events(asked) if isinstance(event, Answered)]

    def ask(self, command: Command) -> Answer:
        """Any command but those for messages; -ERR is an answer here."""
        return self.answers([command])[0]

    def quit(self) -> None:
        """Say goodbye: deletes are carried out when this returns. The connection is closed in any case."""
        try:
            self._ok(commands.end())
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection. Without `quit` before it, deletes are void (RFC 1939 §6)."""
        self._stream.close()

    @property
    def pipelining(self) -> bool:
        """Whether the server takes commands before it has answered others."""
        return self._session.pipelining

    @property
    def tls(self) -> str:
        """TLS version and suite, as "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" in the clear."""
        connection = self._stream.tls
        return f"{connection.get_protocol_version_name()} {connection.get_cipher_name()}" if connection else ""

    @property
    def peer_host(self) -> str:
        """The server's address, "" where it has none."""
        return self._stream.peer_host

    @property
    def peer_certificate(self) -> Any:
        """The server's certificate as pyOpenSSL has it; None in the clear."""
        return self._stream.tls.get_peer_certificate() if self._stream.tls else None

    # Inside

    def _ok(self, command: Command) -> Answer:
        return _accepted(command, self.ask(command))

    def _ask(self, asked: Iterable[Command]) -> int:
        """How many they were."""
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
        """Send what is to be sent, and return what comes."""
        patience = self._patience()
        try:
            self._stream.send(self._session.take(), patience)
            return self._stream.receive(patience)
        except StreamTimeout as error:
            expected = self._session.expects
            asked = expected.shown if expected is not None else "nothing"
            raise POP3Lost(f"{self._host} is silent, and {asked} is unanswered") from error
        except StreamLost as error:
            raise POP3Lost(f"the connection to {self._host} was lost{self._during()}: {error}") from error

    def _during(self) -> str:
        expected = self._session.expects
        return f" in answer to {expected.shown}" if expected is not None else ""

    def _patience(self) -> float:
        expected = self._session.expects
        if expected is self._session.greeting:
            return self._timeouts.greeting
        if expected is not None and expected.alone:
            return self._timeouts.login
        return self._timeouts.answer


def _accepted(command: Command, answer: Answer) -> Answer:
    """@raise POP3Refused: it is not."""
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
    """Connect, greet, begin TLS and look at what is offered.

    @param shown: how the server is called in errors; by default its name.
    @param tls: for TLS from the first octet on. @param stls: for STLS, without which nothing is done.
    @raise POP3Lost: no connection, no TLS, or the server does not want us.
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
                raise POP3Lost(f"{shown} offers no STLS, and nothing is asked of it in the clear")
            try:
                client.start_tls(stls)
            except POP3Refused as refused:
                raise POP3Lost(f"{shown} refuses STLS: {refused.answer.text}") from refused
            client.query_capabilities()
    except BaseException:
        client.close()
        raise
    return client
