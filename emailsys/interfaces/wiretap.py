"""Recording of connections: what the protocols tell about a connection while it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import Attribute, Interface


class ITap(Interface):
    """The record of one connection. Its methods never raise, and none of them keeps a secret.

    Octets are passed in the order in which this host acts on them. The side that gives commands is the peer of a
    server, and this host as a client.
    """

    def opened(peer: str, local: str, peer_name: str = "") -> None:
        """The connection is open.

        @param peer: HOST:PORT, "" if it has none. @param local: likewise.
        @param peer_name: the host name of the peer, if this host has looked it up.
        """

    def command(line: bytes, octets: int, is_secret: bool = False) -> None:
        """A line of the side that gives commands.

        @param line: without CRLF, or the beginning of a line that is too long.
        @param octets: its size on the wire.
        @param is_secret: whether it is a response of an authentication exchange.
        """

    def reply(octets: bytes) -> None:
        """Octets of the side that answers, cut anywhere."""

    def body(octets: bytes) -> None:
        """Octets of a message, from the side that gives commands, dots stuffed."""

    def body_ended_before(octets: int) -> None:
        """Note that the last `octets` of those passed to `body` do not belong to the message."""

    def dropped(octets: int) -> None:
        """Octets of the peer were discarded unread, those in the clear before TLS."""

    def tls_octets(octets: bytes, is_inbound: bool) -> None:
        """Octets of TLS on the wire, in the order in which the TLS library takes or gives them, cut anywhere."""

    def tls_key_log(line: bytes) -> None:
        """A line of the key log of this connection. It is kept in memory, until the handshake is over."""

    def secured(details: Mapping[str, Any]) -> None:
        """TLS is established.

        @param details: as `emailsys.net.tls.facts` returns them, in case that the octets of TLS were not understood.
        """

    def told(name: str, fields: Mapping[str, object]) -> None:
        """An event of the mail log concerns this connection."""

    def verdict(text: str, **details: str | int) -> None:
        """A decision was made."""

    def handled(text: str, **details: str | int) -> None:
        """The session did something to a message of a maildrop: it was sent, or marked as deleted."""

    def committed(text: str, **details: str | int) -> None:
        """A message or a deletion is on disk, here or at the peer."""

    def closed(why: str) -> None:
        """The connection is lost, or was never made. Nothing follows."""


class IWiretap(Interface):
    """Where connections are recorded."""

    is_on: bool = Attribute("Whether connections that begin now are recorded.")

    def begin(protocol: str, as_client: bool, session: str = "") -> ITap:
        """Begin the record of a connection.

        @param protocol: "smtp", "submission" or "pop3".
        @param as_client: whether this host connects to the peer.
        @param session: the id of the session in the mail log; "" makes one.
        """
