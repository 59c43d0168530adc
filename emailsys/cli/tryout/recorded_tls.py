"""TLS over a blocking socket with its handshake recorded; keys stay in memory until the handshake is over."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname
from typing_extensions import Buffer, override

from emailsys.wiretap.conversation import Direction, Event, Role
from emailsys.wiretap.tls.observer import TLSObserver

# The largest record of TLS (RFC 8446 §5.1), in octets.
_CHUNK: Final = 16384


class TLSFailed(Exception):
    """There is no TLS with the server. The message says why."""


def trusting(ca: Path) -> SSL.Context:
    """Returns a context for one connection, to a server whose certificate that authority issued.

    @param ca: PEM of the authority.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.load_verify_locations(str(ca))
    context.set_verify(SSL.VERIFY_PEER, lambda connection, certificate, error, depth, ok: bool(ok))
    return context


class RecordedTLS(io.RawIOBase):
    """The octets inside TLS; the handshake becomes events."""

    def __init__(self, plain: socket.socket, name: str, context: SSL.Context, clock: Callable[[], float]) -> None:
        """
        @param name: the host that the certificate has to be for.
        @param context: for this connection only.
        @param clock: seconds since the conversation began.
        """
        self._observer = TLSObserver(Role.CLIENT)
        #: What was recorded, in the order of the wire.
        self.events: list[Event] = []
        context.set_keylog_callback(lambda connection, line: self.events.extend(self._observer.key_log(line)))
        self._plain = plain
        self._name = name
        self._clock = clock
        self._tls = SSL.Connection(context)
        self._tls.set_tlsext_host_name(name.encode("ascii"))
        self._tls.set_connect_state()

    def shake_hands(self) -> str:
        """Negotiates TLS and checks the certificate. Returns version, cipher suite and issuer, in words.

        @raise TLSFailed: the certificate is not valid, or there is no common cipher suite.
        @raise OSError: the server does not answer in time.
        """
        try:
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except SSL.WantReadError:
                    self._flush()
                    if not self._receive():
                        raise TLSFailed("the server closed the connection in the handshake") from None
            self._flush()
            self.events += self._observer.established(self._clock())
            verify_hostname(self._tls, self._name)
        except SSL.Error as error:
            with suppress(OSError):
                self._flush()
            raise TLSFailed(_reason(error)) from None
        except (VerificationError, CertificateError) as error:
            raise TLSFailed(f"the certificate is not for {self._name} ({error})") from None
        certificate = self._tls.get_peer_certificate()
        issuer = certificate.get_issuer().commonName if certificate is not None else None
        return (
            f"{self._tls.get_protocol_version_name()}, {self._tls.get_cipher_name() or 'no cipher suite'}; "
            f"certificate for {self._name} checked, issued by {issuer or '?'}"
        )

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        while True:
            try:
                octets = self._tls.recv(min(len(view), _CHUNK))
            except SSL.WantReadError:
                self._flush()
                if not self._receive():
                    return 0
            except SSL.Error:
                return 0
            else:
                view[: len(octets)] = octets
                return len(octets)

    def sendall(self, octets: bytes) -> None:
        """Sends octets inside TLS. @raise OSError: the connection is lost."""
        try:
            for start in range(0, len(octets), _CHUNK):
                self._tls.sendall(octets[start : start + _CHUNK])
                self._flush()
        except SSL.Error as error:
            raise ConnectionError(_reason(error)) from None

    @override
    def close(self) -> None:
        if not self.closed:
            self.events += self._observer.finish()
            self._plain.close()
        super().close()

    def _receive(self) -> bool:
        octets = self._plain.recv(_CHUNK)
        self.events += self._observer.feed(Direction.IN, octets, self._clock())
        if octets:
            self._tls.bio_write(octets)
        else:
            self._tls.bio_shutdown()
        return bool(octets)

    def _flush(self) -> None:
        with suppress(SSL.WantReadError):
            while octets := self._tls.bio_read(_CHUNK):
                self.events += self._observer.feed(Direction.OUT, octets, self._clock())
                self._plain.sendall(octets)


def _reason(error: SSL.Error) -> str:
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(entries[-1][2]) if entries else "the connection broke off"
