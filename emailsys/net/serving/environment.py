"""The environment of a daemon's mail servers: portal, stored secrets, clock, telemetry, host name and TLS."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.cred.portal import Portal
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime

from emailsys.interfaces import ISecrets
from emailsys.interfaces.wiretap import IWiretap
from emailsys.telemetry import Telemetry


@dataclass(frozen=True)
class ServiceEnvironment:
    """The objects that SMTP and POP3 services share.

    - `portal` logs in credentials of octets, with a Client as the mind.
    - `hostname` is our name in greetings, replies and Received fields, and our authserv-id.
    - `context_factory` is used by STARTTLS and STLS; None disables both.
    - `handshake_timeout` is the time for a TLS handshake, in seconds.
    - `secrets` serves the SASL mechanisms that need a stored secret; None provides none.
    - `wiretap` records connections while it is on; None records none.
    """

    portal: Portal
    clock: IReactorTime
    telemetry: Telemetry
    hostname: str
    context_factory: IOpenSSLServerConnectionCreator | None = None
    handshake_timeout: float = 30.0
    secrets: ISecrets | None = None
    wiretap: IWiretap | None = None
