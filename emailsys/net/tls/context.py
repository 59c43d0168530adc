"""TLS context for servers and clients: versions, cipher suites, options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL

from emailsys.upstream import offer_key_exchange

# RFC 9325 §4.2: ephemeral keys and AEAD, nothing else. ECDSA first: its signature costs a fifteenth of RSA's. AES-128
# before AES-256, because it is no weaker in practice; ChaCha20 for phones without AES instructions.
TLS12_CIPHERS: Final = b":".join(
    (
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-CHACHA20-POLY1305",
    )
)
# OP_NO_COMPRESSION: CRIME. OP_NO_RENEGOTIATION: a peer could make us compute handshakes forever (RFC 9325 §3.5).
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE


class TLSConfigError(Exception):
    """A certificate cannot be used. The message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class HelloOptions:
    """The offers in the ClientHello of a client, except its cipher suites.

    @ivar x25519_only: whether X25519 is the only key exchange. With OpenSSL's default, which has a post-quantum one,
        the ClientHello has 1,500 octets. Some hosts fail if it does not come in one segment.
    @ivar session_tickets: whether the session may be resumed by a ticket (RFC 5077).
    """

    x25519_only: bool = False
    session_tickets: bool = True


USUAL_HELLO: Final = HelloOptions()


def new_client_context(hello: HelloOptions) -> SSL.Context:
    """Return a context for clients that says hello in this form."""
    context = new_context()
    if hello.x25519_only:
        offer_key_exchange(SSL, context, b"X25519")
    if not hello.session_tickets:
        context.set_options(SSL.OP_NO_TICKET)
    return context


def new_context() -> SSL.Context:
    """Return a context without certificate for TLS 1.2 and 1.3 with forward secrecy, for either side."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    # Idle connections release their buffers: most of thousands of sessions are idle at any time.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(TLS12_CIPHERS)
    return context


def log_keys(context: SSL.Context) -> None:
    """Let a new context pass the key log of each connection to `hear_key_log` of that connection, if it has one.

    OpenSSL takes the callback for a context, and pyOpenSSL only before its first connection. Connections that are not
    recorded use contexts without it.
    """
    context.set_keylog_callback(_pass_on)


def _pass_on(connection: SSL.Connection, line: bytes) -> None:
    hear = vars(connection).get("hear_key_log")
    if hear is not None:
        hear(line)
