"""Where a message goes next: the MX hosts of a domain, or one named host."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

SMTP_PORT: Final = 25


class TLSPolicy(enum.Enum):
    """What a next hop owes us in privacy."""

    # Where it is offered; the certificate is not looked at (RFC 7435).
    OPPORTUNISTIC = "opportunistic"
    # No mail in the clear.
    REQUIRED = "required"
    # And the certificate must be the host's, by a chain we trust.
    VERIFIED = "verified"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we log in with at a smart host."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a message goes next.

    @ivar host: with `by_mx` the domain, lower-case A-labels or an address literal, whose MX hosts take the mail; else
        the name or address literal of the one host that does.
    @ivar implicit_tls: TLS begins with the connection (port 465, RFC 8314 §3.3).
    @ivar clear_after_failure: whether mail goes in the clear where an opportunistic handshake failed, or is delayed.
    """

    host: str
    port: int = SMTP_PORT
    by_mx: bool = True
    tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC
    implicit_tls: bool = False
    clear_after_failure: bool = True
    login: Credentials | None = None

    def __str__(self) -> str:
        """The name under which its connections and its failures are counted."""
        return self.host if self.by_mx and self.port == SMTP_PORT else f"{self.host}:{self.port}"
