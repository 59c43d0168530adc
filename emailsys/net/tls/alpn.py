"""ALPN on the server: a TLS client that offers names of other protocols only is refused (RFC 7301)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from OpenSSL import SSL

# Offered names that are told. A client may offer thousands.
_TOLD: Final = 5


class OtherProtocol(SSL.Error):
    """The client offered no name of the protocol that is served here. Its reason tells what it offered.

    It has the form of OpenSSL's errors, a list of reasons, because Twisted's TLS layer looks into it.
    """


def choose_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    """Return the first name that the protocol of the connection has. Without such a protocol, none is checked.

    An attacker can lead a browser to a mail server whose certificate fits (ALPACA, https://alpaca-attack.com). The
    browser offers h2 and http/1.1, and goes no further than this. A client that offers nothing does not come here.

    @raise OtherProtocol: there is none. OpenSSL sends the alert no_application_protocol (RFC 7301 §3.2).
    """
    names: frozenset[bytes] = getattr(connection, "application_protocols", frozenset())
    for name in offered:
        if name in names:
            return name
    if not names:
        return SSL.NO_OVERLAPPING_PROTOCOLS  # type: ignore[return-value]  # a sentinel
    told = ", ".join(map(repr, offered[:_TOLD]))
    raise OtherProtocol([("emailsys", "", f"the client offered other protocols by ALPN: {told}")])
