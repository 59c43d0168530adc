"""The results of a handshake as one value, with forward secrecy and resumption said in words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from emailsys.wiretap.conversation import Json
from emailsys.wiretap.tls.certificates import details_of
from emailsys.wiretap.tls.flight import KeyExchange
from emailsys.wiretap.tls.hello import ClientHello, ServerHello
from emailsys.wiretap.tls.names import GROUPS, SIGNATURES, TLS13, VERSIONS, is_post_quantum, name_in
from emailsys.wiretap.tls.suites import Suite, suite


@dataclass(frozen=True, slots=True)
class Handshake:
    """The results of a handshake, as far as they were seen. Empty strings and zeros: not seen.

    @ivar certificates: the server's chain as DER, its own certificate first; () if it was resumed.
    @ivar client_certificates: the chain of the client, if it has one.
    @ivar retried: whether the server asked for a second ClientHello.
    """

    version_code: int = 0
    suite_code: int = 0
    group_code: int = 0
    dh_bits: int = 0
    signature_code: int = 0
    alpn: str = ""
    sni: str = ""
    resumed: bool = False
    retried: bool = False
    compressed: bool = False
    certificates: tuple[bytes, ...] = ()
    client_certificates: tuple[bytes, ...] = ()

    def with_client_hello(self, hello: ClientHello) -> Handshake:
        """Returns the handshake after a ClientHello."""
        return replace(self, sni=hello.server_name)

    def with_server_hello(self, hello: ServerHello) -> Handshake:
        """Returns the handshake after a ServerHello or HelloRetryRequest."""
        return replace(
            self,
            version_code=hello.version,
            suite_code=hello.suite,
            group_code=hello.group or self.group_code,
            alpn=hello.protocol,
            compressed=hello.compression != 0,
            resumed=hello.has_psk,
            retried=self.retried or hello.is_retry,
        )

    def with_key_exchange(self, sent: KeyExchange) -> Handshake:
        """Returns the handshake after a ServerKeyExchange."""
        return replace(self, group_code=sent.group, dh_bits=sent.bits, signature_code=sent.signature)

    @property
    def version(self) -> str:
        """As in `TLS 1.3`."""
        return name_in(VERSIONS, self.version_code) if self.version_code else ""

    @property
    def suite(self) -> Suite:
        """The cipher suite."""
        return suite(self.suite_code)

    @property
    def cipher(self) -> str:
        """The cipher suite by its name in IANA's registry, as in `TLS_AES_256_GCM_SHA384`."""
        return self.suite.name if self.version_code else ""

    @property
    def group(self) -> str:
        """The key exchange, as in `X25519MLKEM768`; with how it works if that is not in the name."""
        if self.dh_bits:
            return f"DHE with {self.dh_bits} bits"
        return name_in(GROUPS, self.group_code) if self.group_code else ""

    @property
    def signature(self) -> str:
        """The scheme by which the server proved that it has the key of its certificate."""
        return name_in(SIGNATURES, self.signature_code) if self.signature_code else ""

    @property
    def is_post_quantum(self) -> bool:
        """Whether a quantum computer of later years cannot read the connection from a recording."""
        return is_post_quantum(self.group_code)

    @property
    def forward_secrecy(self) -> str:
        """Whether the connection stays secret if the server's key is stolen later, and why. "" before a ServerHello."""
        if not self.version_code:
            return ""
        used = self.suite
        if self.version_code >= TLS13:
            if self.resumed and not self.group_code:
                return "no: the session was resumed without a new key exchange; its old secret opens this connection"
            return f"yes: {self.group or 'an ephemeral key exchange'} made keys for this connection only"
        if self.resumed:
            return "as in the session that was resumed: no new key exchange was made"
        if used.has_forward_secrecy:
            return f"yes: {self.group or used.key_exchange} made keys for this connection only"
        if used.key_exchange == "RSA":
            return "no: static RSA; who gets the key of the certificate later can read this connection"
        return f"no: {used.key_exchange or used.name} makes no keys for this connection only"

    def details(self) -> dict[str, Json]:
        """Returns the handshake for an event of `Kind.SECURED`. All names are always there."""
        return {
            "version": self.version,
            "cipher": self.cipher,
            "openssl_cipher": self.suite.openssl if self.version_code else "",
            "group": self.group,
            "signature": self.signature,
            "alpn": self.alpn,
            "sni": self.sni,
            "resumed": self.resumed,
            "retried": self.retried,
            "forward_secrecy": self.forward_secrecy,
            "post_quantum": self.is_post_quantum,
            "certificates": [details_of(certificate) for certificate in self.certificates],
            "client_certificates": [details_of(certificate) for certificate in self.client_certificates],
        }

    def summary(self) -> str:
        """Returns one line, as in `TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768 (post-quantum)`."""
        group = f"{self.group} (post-quantum)" if self.is_post_quantum else self.group
        resumed = "resumed" if self.resumed else ""
        return ", ".join(filter(None, (self.version, self.cipher, group, self.signature, resumed)))
