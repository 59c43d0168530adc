"""Two ends of TLS in memory, with what each of them sends, and certificates with any fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from emailsys.wiretap.conversation import Direction, Event, Role
from emailsys.wiretap.tls.observer import TLSObserver

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        """The certificate as it is sent."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.certificate.public_bytes(Encoding.DER)


def issue(
    name: str,
    by: Issued | None = None,
    *,
    key: Key | None = None,
    names: tuple[str, ...] = (),
    authority: bool = False,
    path_length: int | None = None,
    purpose: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.SERVER_AUTH,
    start: datetime = NOW - 30 * _DAY,
    end: datetime = NOW + 300 * _DAY,
    critical: x509.ExtensionType | None = None,
) -> Issued:
    """A certificate by an issuer, or by itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    elif purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    if critical is not None:
        builder = builder.add_extension(critical, critical=True)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


def server_context(issued: Issued, chain: tuple[Issued, ...] = ()) -> SSL.Context:
    """A server with a certificate."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_privatekey(crypto.PKey.from_cryptography_key(issued.key))
    context.use_certificate(crypto.X509.from_cryptography(issued.certificate))
    for above in chain:
        context.add_extra_chain_cert(crypto.X509.from_cryptography(above.certificate))
    return context


@dataclass
class Pair:
    """A client and a server, each with an observer. `at` is counted up by a millisecond with each transfer.

    @ivar has_key_log: whether the observers get the lines of the key logs.
    """

    client_context: SSL.Context
    server_context: SSL.Context
    session: SSL.Session | None = None
    server_name: bytes = b"mx.example.test"
    has_key_log: bool = False
    events: dict[Role, list[Event]] = field(default_factory=lambda: {role: [] for role in Role})
    wire: list[tuple[Role, bytes]] = field(default_factory=list)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.observers = {role: TLSObserver(role) for role in Role}
        if self.has_key_log:
            # A context cannot be changed after its first connection.
            self.client_context.set_keylog_callback(self._key_line)
            self.server_context.set_keylog_callback(self._key_line)
        self.client = SSL.Connection(self.client_context)
        self.server = SSL.Connection(self.server_context)
        self.client.set_connect_state()
        self.client.set_tlsext_host_name(self.server_name)
        self.server.set_accept_state()
        if self.session is not None:
            self.client.set_session(self.session)

    def _key_line(self, _: SSL.Connection, line: bytes) -> None:
        for role, observer in self.observers.items():
            self.events[role] += observer.key_log(line)

    def ends(self) -> Iterator[tuple[Role, SSL.Connection, SSL.Connection]]:
        """Each end with the other."""
        yield Role.CLIENT, self.client, self.server
        yield Role.SERVER, self.server, self.client

    def carry(self) -> bool:
        """Carry what both ends have to send. Returns whether there was anything."""
        was = len(self.wire)
        for role, sender, receiver in self.ends():
            with suppress(SSL.WantReadError):
                octets = sender.bio_read(2**20)
                self.at += 0.001
                self.wire.append((role, octets))
                for other, observer in self.observers.items():
                    direction = Direction.OUT if other is role else Direction.IN
                    self.events[other] += observer.feed(direction, octets, self.at)
                receiver.bio_write(octets)
        return len(self.wire) > was

    def shake_hands(self) -> Pair:
        """The whole handshake, and the tickets after it. Raises what OpenSSL raises."""
        busy = True
        while busy:
            for _, end, _ in self.ends():
                with suppress(SSL.WantReadError):
                    end.do_handshake()
            busy = self.carry()
        for _, end, _ in self.ends():
            with suppress(SSL.WantReadError):
                end.recv(1)
        return self

    def say(self, role: Role, octets: bytes) -> None:
        """One end sends application data, and the other reads them."""
        sender, receiver = (self.client, self.server) if role is Role.CLIENT else (self.server, self.client)
        sender.send(octets)
        self.carry()
        receiver.recv(2**20)

    def names(self, role: Role) -> list[str]:
        """The events that an observer found, by name."""
        return [event.text for event in self.events[role]]
