"""A connection to a server that may be hostile: time, lines and octets are limited, and everything is recorded."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from OpenSSL import SSL

from emailsys.wiretap.conversation import Direction, Event, Kind, Role
from emailsys.wiretap.masking import printable
from emailsys.wiretap.probe.limits import LONGEST_LINE, MOST_LINES, MOST_OCTETS, Deadline, Failure, ProbeError
from emailsys.wiretap.probe.target import Target
from emailsys.wiretap.tls.observer import TLSObserver

_CHUNK: Final = 16384
# Seconds. Ctrl-C in another thread is noticed after this time.
_SLICE: Final = 0.25
# Everything that the library can do: a probe reports what is weak, it does not refuse it. Certificates are judged by
# `tls.chain`, not by OpenSSL.
_CIPHERS: Final = b"DEFAULT:@SECLEVEL=0"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server, in lines without CRLF."""

    lines: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """2xx or +OK."""
        return self.lines[0].startswith(("2", "+OK"))

    @property
    def asks_for_more(self) -> bool:
        """334, 354, or `+` of a login."""
        return self.lines[0].startswith(("3", "+ ")) or self.lines[0] == "+"

    def __str__(self) -> str:
        return self.lines[-1]


@dataclass(slots=True)
class _TLS:
    connection: SSL.Connection
    observer: TLSObserver


@dataclass(slots=True)
class Connection:
    """One connection. Methods that wait raise ProbeError if the server stalls, closes, floods or talks nonsense.

    @ivar events: what was said, for a conversation.
    """

    target: Target
    deadline: Deadline
    events: list[Event] = field(default_factory=list)
    peer: str = ""
    local: str = ""
    _socket: socket.socket | None = None
    _began: float = 0.0
    _rest: bytes = b""
    _last: bytes = b""
    _received: int = 0
    _tls: _TLS | None = None

    @property
    def now(self) -> float:
        """Seconds since the connection began."""
        return self.deadline.elapsed - self._began

    def __enter__(self) -> Connection:
        self._began = self.deadline.elapsed
        errors = []
        for address in self.target.addresses:
            try:
                self._socket = socket.create_connection((address, self.target.port), timeout=self.deadline.answer())
            except OSError as error:
                errors.append(f"{address}: {error.strerror or error}")
                continue
            self._socket.setblocking(False)
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.peer = _shown(self._socket.getpeername())
                self.local = _shown(self._socket.getsockname())
            self._event(Kind.OPENED, f"connected to {self.peer}")
            return self
        raise ProbeError(Failure.UNREACHABLE, f"No connection to {self.target}: {'; '.join(errors)}.")

    def __exit__(self, kind: object, error: object, trace: TracebackType | None) -> None:
        if self._tls is not None:
            self.events += self._tls.observer.finish()
        if self._socket is not None:
            self._socket.close()
            self._event(Kind.CLOSED, "closed by us")

    @property
    def observer(self) -> TLSObserver | None:
        """The observer of the handshake, once TLS has begun."""
        return None if self._tls is None else self._tls.observer

    def require_silence(self) -> None:
        """Checks that the server has said nothing after its last reply, where the client's hello is due.

        @raise ProbeError: it has, for example that it is busy after all.
        """
        if self._rest:
            raise no_tls(self._rest)

    def send_line(self, line: str) -> None:
        """Sends a command."""
        octets = line.encode("ascii") + b"\r\n"
        self._event(Kind.COMMAND, line, Direction.OUT, len(octets))
        self.send(octets)

    def send(self, octets: bytes) -> None:
        """Sends octets, inside TLS if it has begun. They are not recorded."""
        if self._tls is None:
            self.send_raw(octets)
            return
        try:
            self._tls.connection.sendall(octets)
        except SSL.Error as error:
            raise ProbeError(Failure.CLOSED, "TLS broke off.") from error
        self._flush()

    def send_raw(self, octets: bytes) -> None:
        """Sends octets beside TLS."""
        assert self._socket is not None
        until = self.deadline.elapsed + self.deadline.answer()
        view = memoryview(octets)
        while view:
            self._wait(until, writes=True)
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ProbeError(Failure.CLOSED, "The server closed the connection while we sent.") from error

    def receive_raw(self, until: float) -> bytes:
        """Returns octets of the wire; b"" at the end of the connection.

        @param until: seconds since the beginning of the probe.
        """
        assert self._socket is not None
        while True:
            self._wait(until, writes=False)
            try:
                octets = self._socket.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                octets = b""
            self._received += len(octets)
            if self._received > MOST_OCTETS:
                raise ProbeError(Failure.FLOODED, f"The server sent more than {MOST_OCTETS:,} octets.")
            return octets

    def answer_until(self) -> float:
        """When the next answer must be complete: seconds since the beginning of the probe."""
        return self.deadline.elapsed + self.deadline.answer()

    def reply(self) -> Reply:
        """Returns the next reply of one line or, with SMTP, of several lines."""
        until = self.answer_until()
        lines = [self._line(until)]
        while not self.target.protocol.is_pop3 and lines[-1][3:4] == "-":
            lines.append(self._line(until))
            if len(lines) > MOST_LINES:
                raise ProbeError(Failure.FLOODED, f"A reply has more than {MOST_LINES} lines.")
        return Reply(tuple(lines))

    def reply_within(self, seconds: float) -> str:
        """Returns the first line of what the server says within a time.

        @raise ProbeError: STALLED, if it says nothing.
        """
        return self._line(self.deadline.elapsed + min(seconds, self.deadline.answer()))

    def listing(self) -> tuple[str, ...]:
        """Returns the lines of a listing of POP3, without the dot."""
        until = self.answer_until()
        lines: list[str] = []
        while (line := self._line(until)) != ".":
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise ProbeError(Failure.FLOODED, f"A list has more than {MOST_LINES} lines.")
        return tuple(lines)

    def command(self, line: str) -> Reply:
        """Sends a command and returns its reply."""
        self.send_line(line)
        return self.reply()

    def _line(self, until: float) -> str:
        while b"\n" not in self._rest:
            if len(self._rest) > LONGEST_LINE:
                raise ProbeError(Failure.FLOODED, f"A line of the server has more than {LONGEST_LINE:,} octets.")
            octets = self._receive(until)
            if not octets:
                raise ProbeError(Failure.CLOSED, "The server closed the connection instead of an answer.")
            self._rest += octets
        line, _, self._rest = self._rest.partition(b"\n")
        if len(line) > LONGEST_LINE:
            raise ProbeError(Failure.FLOODED, f"A line of the server has more than {LONGEST_LINE:,} octets.")
        text = printable(line.removesuffix(b"\r"))
        self._event(Kind.REPLY, text, Direction.IN, len(line) + 1)
        return text

    def _receive(self, until: float) -> bytes:
        """Returns octets, decrypted if TLS has begun; b"" at the end."""
        if self._tls is None:
            return self.receive_raw(until)
        while True:
            try:
                return self._tls.connection.recv(_CHUNK)
            except SSL.WantReadError:
                self._flush()
                if not self._feed(until):
                    return b""
            except SSL.Error:
                return b""

    def secure(self) -> TLSObserver:
        """Shakes hands. The server's certificate is not verified.

        @raise ProbeError: the handshake failed.
        """
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(_CIPHERS)
        context.set_verify(SSL.VERIFY_NONE)
        observer = TLSObserver(Role.CLIENT)
        context.set_keylog_callback(lambda _, line: self.events.extend(observer.key_log(line)))
        connection = SSL.Connection(context)
        connection.set_connect_state()
        if self.target.server_name:
            connection.set_tlsext_host_name(self.target.server_name.encode("ascii"))
        self._tls = _TLS(connection, observer)
        # What came before TLS does not count inside it (RFC 3207 §6).
        self._rest = b""
        until = self.answer_until()
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                self._flush()
                if not self._feed(until):
                    raise ProbeError(Failure.CLOSED, "The server closed the connection in the handshake.") from None
            except SSL.Error as error:
                if observer.flaw and not observer.handshake.version_code:
                    raise no_tls(self._last) from error
                with suppress(ProbeError):
                    self._flush()
                raise ProbeError(Failure.MALFORMED, f"The handshake failed: {_reason(error, observer)}.") from error
            else:
                self._flush()
                self.events += observer.established(self.now)
                return observer

    def _feed(self, until: float) -> bool:
        """Hands octets of the wire to TLS. Returns False at the end."""
        assert self._tls is not None
        octets = self.receive_raw(until)
        self.events += self._tls.observer.feed(Direction.IN, octets, self.now)
        self._last = octets
        if octets:
            self._tls.connection.bio_write(octets)
        else:
            self._tls.connection.bio_shutdown()
        return bool(octets)

    def _flush(self) -> None:
        """Sends what TLS has to send."""
        assert self._tls is not None
        with suppress(SSL.WantReadError, SSL.Error):
            while octets := self._tls.connection.bio_read(_CHUNK):
                self.events += self._tls.observer.feed(Direction.OUT, octets, self.now)
                self.send_raw(octets)

    def _wait(self, until: float, writes: bool) -> None:
        """Waits until the socket is ready, in slices, so that a cancelled deadline is noticed."""
        assert self._socket is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_WRITE if writes else selectors.EVENT_READ)
            while True:
                left = until - self.deadline.elapsed
                if left <= 0:
                    raise ProbeError(Failure.STALLED, "The server did not answer in time.")
                self.deadline.answer()
                if selector.select(min(_SLICE, left)):
                    return

    def _event(self, kind: Kind, text: str, direction: Direction | None = None, octets: int = 0) -> None:
        self.events.append(Event(self.now, kind, text, direction, octets))


def no_tls(octets: bytes) -> ProbeError:
    """Returns the error for a server that answered to a ClientHello in clear text, for example that it is busy."""
    said = printable(octets.split(b"\n")[0].removesuffix(b"\r"), 200)
    # 421 and its like may be gone the next time.
    kind = Failure.REFUSED if octets.startswith((b"4", b"-ERR")) else Failure.MALFORMED
    return ProbeError(kind, f"The server answered without TLS: {said!r}.")


def _shown(name: tuple[object, ...] | str) -> str:
    host, port = str(name[0]), name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: SSL.Error, observer: TLSObserver) -> str:
    """OpenSSL's words for the last error, or what is wrong with the octets."""
    if observer.flaw:
        return observer.flaw
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(entries[-1][2]) if entries else "the connection broke off"
