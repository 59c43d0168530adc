"""Blocking TCP streams with time limits and TLS, which another thread can abort."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock
from typing import Final, Protocol
from weakref import WeakSet

from OpenSSL import SSL

from emailsys.net.base.error_text import in_words
from emailsys.net.tls.peer import ExpectedServer, PeerCertificateError

# Octets per read. A TLS record has up to 16 KiB.
_CHUNK: Final = 256 * 1024
# Seconds before the next address is tried concurrently (RFC 8305 §5).
_ATTEMPT_DELAY: Final = 0.3
_IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0)})


class StreamLost(Exception):
    """The connection was lost, or could not be made. The message says why.

    `certificate`: TLS rejected the server's certificate.
    """

    def __init__(self, message: str, *, certificate: bool = False) -> None:
        super().__init__(message)
        self.certificate = certificate


class StreamTimeout(StreamLost):
    """The peer did not answer in time."""

    def __init__(self) -> None:
        super().__init__("no answer")


class Stream(Protocol):
    """Interface of a stream. All methods but `hang_up` belong to one thread, and raise StreamLost.

    They wait at most the given number of seconds.
    """

    @property
    def peer_host(self) -> str:
        """Address of the peer, "" without one."""
        ...

    @property
    def tls(self) -> SSL.Connection | None:
        """The TLS connection after its handshake, else None."""
        ...

    def connect(self, host: str, port: int, seconds: float) -> None:
        """Connect to the first address of a host that answers."""
        ...

    def start_tls(self, server: ExpectedServer, seconds: float) -> None:
        """Do the TLS handshake."""
        ...

    def receive(self, seconds: float) -> bytes:
        """Wait for octets. Return b"" after the peer has closed the connection."""
        ...

    def send(self, octets: bytes, seconds: float) -> None:
        """Send all octets."""
        ...

    def close(self) -> None:
        """Close the connection, after TLS's close_notify. May be called twice."""
        ...

    def hang_up(self) -> None:
        """Make all current and later waits raise StreamLost. Any thread may call this."""
        ...


def _addresses(host: str, port: int) -> deque[tuple[int, tuple[object, ...]]]:
    """Families and addresses, the families in turn (RFC 8305 §4)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StreamLost(f"the host name is unknown ({in_words(error)})") from error
    first = [(family, address) for family, _, _, _, address in found if family == found[0][0]]
    rest = [(family, address) for family, _, _, _, address in found if family != found[0][0]]
    ordered: deque[tuple[int, tuple[object, ...]]] = deque()
    for place in range(max(len(first), len(rest))):
        ordered.extend(first[place : place + 1] + rest[place : place + 1])
    return ordered


class TCPStream:
    """A stream over a non-blocking TCP socket."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # `hang_up` writes to this pair, and every wait watches it.
        self._woken, self._waker = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._socket: socket.socket | None = None
        self._connection: SSL.Connection | None = None
        self._watched = 0
        self._hung_up = False
        self._closing = Lock()
        self._closed = False

    @property
    def peer_host(self) -> str:
        """Address of the peer, "" without one."""
        try:
            return str(self._connected().getpeername()[0])
        except (OSError, StreamLost):
            return ""

    @property
    def tls(self) -> SSL.Connection | None:
        """The TLS connection after its handshake, else None."""
        return self._connection

    def connect(self, host: str, port: int, seconds: float) -> None:
        """Connect to the first address of a host that answers."""
        deadline = time.monotonic() + seconds
        untried = _addresses(host, port)
        trying: list[socket.socket] = []
        reason = "the name has no address"
        next_at = 0.0
        try:
            while trying or untried:
                now = time.monotonic()
                if now >= deadline:
                    raise StreamTimeout
                if untried and (not trying or now >= next_at):
                    next_at = now + _ATTEMPT_DELAY
                    reason = self._try(untried.popleft(), trying) or reason
                    continue
                until = min(deadline, next_at) if untried else deadline
                for one in self._ready(until - now):
                    error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    self._selector.unregister(one)
                    trying.remove(one)
                    if not error:
                        self._use(one)
                        return
                    reason = os.strerror(error)
                    next_at = 0.0
                    one.close()
            raise StreamLost(reason)
        finally:
            for one in trying:
                self._selector.unregister(one)
                one.close()

    def _try(self, address: tuple[int, tuple[object, ...]], trying: list[socket.socket]) -> str:
        """Start to connect to an address. Return "", or the reason why it failed at once."""
        try:
            one = socket.socket(address[0], socket.SOCK_STREAM)
        except OSError as error:
            return in_words(error)
        one.setblocking(False)
        refused = one.connect_ex(address[1])
        if refused not in _IN_PROGRESS:
            one.close()
            return os.strerror(refused)
        self._selector.register(one, selectors.EVENT_WRITE)
        trying.append(one)
        return ""

    def _use(self, one: socket.socket) -> None:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = one

    def start_tls(self, server: ExpectedServer, seconds: float) -> None:
        """Do the TLS handshake."""
        connection = self._tls_over(server, self._connected())
        connection.set_connect_state()
        deadline = time.monotonic() + seconds
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                self._wait(selectors.EVENT_READ, deadline)
            except SSL.WantWriteError:
                self._wait(selectors.EVENT_WRITE, deadline)
            except PeerCertificateError as error:
                raise StreamLost(str(error), certificate=True) from error
            except (SSL.Error, OSError) as error:
                raise StreamLost(in_words(error)) from error
            else:
                self._connection = connection
                return

    def _tls_over(self, server: ExpectedServer, plain: socket.socket) -> SSL.Connection:
        """Return the TLS connection to a server over a connected socket."""
        return server.connection(plain)

    def receive(self, seconds: float) -> bytes:
        """Wait for octets. Return b"" after the peer has closed the connection."""
        source = self._connection or self._connected()
        deadline = 0.0
        while True:
            try:
                return source.recv(_CHUNK)
            except (BlockingIOError, SSL.WantReadError):
                want = selectors.EVENT_READ
            except SSL.WantWriteError:
                want = selectors.EVENT_WRITE
            except (SSL.ZeroReturnError, SSL.SysCallError):
                return b""
            except (SSL.Error, OSError) as error:
                raise StreamLost(in_words(error)) from error
            deadline = deadline or time.monotonic() + seconds
            self._wait(want, deadline)

    def send(self, octets: bytes, seconds: float) -> None:
        """Send all octets."""
        sink = self._connection or self._connected()
        deadline = 0.0
        while octets:
            try:
                octets = octets[sink.send(octets) :]
                continue
            except (BlockingIOError, SSL.WantWriteError):
                want = selectors.EVENT_WRITE
            except SSL.WantReadError:
                want = selectors.EVENT_READ
            except (SSL.Error, OSError) as error:
                raise StreamLost(in_words(error)) from error
            deadline = deadline or time.monotonic() + seconds
            self._wait(want, deadline)

    def close(self) -> None:
        """Close the connection, after TLS's close_notify. May be called twice."""
        if self._connection is not None and not self._hung_up:
            # The connection is closed in any case.
            with suppress(SSL.Error, OSError):
                self._connection.shutdown()
        with self._closing:
            self._closed = True
            self._selector.close()
            for one in (self._socket, self._woken, self._waker):
                if one is not None:
                    one.close()

    def hang_up(self) -> None:
        """Make all current and later waits raise StreamLost. Any thread may call this."""
        with self._closing:
            self._hung_up = True
            if not self._closed:
                self._waker.send(b"!")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise StreamLost("there is no connection")
        return self._socket

    def _wait(self, event: int, deadline: float) -> None:
        one = self._connected()
        if not self._watched:
            self._selector.register(one, event)
        elif self._watched != event:
            self._selector.modify(one, event)
        self._watched = event
        while not self._ready(deadline - time.monotonic()):
            if time.monotonic() >= deadline:
                raise StreamTimeout

    def _ready(self, seconds: float) -> list[socket.socket]:
        """Wait for events. Return the ready sockets."""
        if self._closed:
            raise StreamLost("the connection is closed")
        ready = [key.fileobj for key, _ in self._selector.select(max(0.0, seconds))]
        if self._hung_up:
            raise StreamLost("stopped by this program")
        return [one for one in ready if isinstance(one, socket.socket)]


class OpenStreams:
    """Factory of streams that can all be aborted together."""

    def __init__(self, make: Callable[[], TCPStream] = TCPStream) -> None:
        """@param make: makes each stream, such as one that is recorded."""
        self._make = make
        self._guard = Lock()
        self._streams: WeakSet[TCPStream] = WeakSet()
        self._is_stopped = Event()

    def new(self) -> Stream:
        """Return a stream that is not connected."""
        stream = self._make()
        with self._guard:
            self._streams.add(stream)
            if self._is_stopped.is_set():
                stream.hang_up()
        return stream

    def hang_up(self) -> None:
        """Abort all streams, also those made later."""
        with self._guard:
            self._is_stopped.set()
            for stream in self._streams:
                stream.hang_up()

    def pause(self, seconds: float) -> bool:
        """Wait, or return at once after `hang_up`. @return: whether to continue."""
        return not self._is_stopped.wait(seconds)
