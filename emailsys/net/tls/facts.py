"""Facts about an established TLS connection, for its record: version, cipher suite, key exchange, certificates."""

from __future__ import annotations

from typing import Any, Final

from cryptography.x509 import Certificate
from OpenSSL import SSL

# Key exchange groups that a quantum computer does not break, by a part of their names (draft-ietf-tls-ecdhe-mlkem).
_POST_QUANTUM: Final = "mlkem"
_MAX_CERTIFICATES: Final = 10
_MAX_NAME: Final = 200


def tls_facts(transport: Any) -> dict[str, Any]:
    """Return what is known of a connection whose handshake has ended; empty without TLS.

    The keys are `version`, `cipher`, `group`, `alpn`, `sni`, `forward_secrecy` in words, `post_quantum` and
    `certificates`.
    """
    get_handle = getattr(transport, "getHandle", None)
    connection = get_handle() if callable(get_handle) else None
    if not isinstance(connection, SSL.Connection):
        return {}
    version, cipher = connection.get_protocol_version_name(), connection.get_cipher_name() or ""
    try:
        group = connection.get_group_name() or ""
    except NotImplementedError:
        # An OpenSSL before 3.0.
        group = ""
    alpn, name = connection.get_alpn_proto_negotiated(), connection.get_servername()
    is_ephemeral = version == "TLSv1.3" or cipher.startswith(("ECDHE-", "DHE-"))
    return {
        "version": version,
        "cipher": cipher,
        "group": group,
        "alpn": alpn.decode("ascii", "replace"),
        "sni": (name or b"").decode("ascii", "replace"),
        "forward_secrecy": (
            "yes: the keys of this session cannot be computed from the key of the certificate"
            if is_ephemeral
            else "no: who gets the key of the certificate can read a recording of this session"
        ),
        "post_quantum": _POST_QUANTUM in group.lower(),
        "certificates": _certificates(connection),
    }


def _certificates(connection: SSL.Connection) -> list[dict[str, str]]:
    """Return what the certificates say; empty if one cannot be read.

    OpenSSL goes on with certificates for which cryptography raises one of many exceptions, as for an unknown version. A
    record must not end the connection because of them.
    """
    try:
        return [_described(one) for one in _chain(connection)[:_MAX_CERTIFICATES]]
    except Exception:
        return []


def _chain(connection: SSL.Connection) -> list[Certificate]:
    """Return the chain that the peer has shown, or our own certificate if it has shown none."""
    shown = connection.get_peer_cert_chain(as_cryptography=True)
    if shown:
        return list(shown)
    own = connection.get_certificate(as_cryptography=True)
    return [] if own is None else [own]


def _described(certificate: Certificate) -> dict[str, str]:
    return {
        "subject": certificate.subject.rfc4514_string()[:_MAX_NAME],
        "issuer": certificate.issuer.rfc4514_string()[:_MAX_NAME],
        "not_after": certificate.not_valid_after_utc.isoformat(),
    }
