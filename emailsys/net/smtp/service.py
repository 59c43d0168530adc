"""What the sessions of an SMTP service share: its kind, its limits, and the interfaces to policy and store."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from twisted.cred.portal import Portal
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import IIntake, ISecrets
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.net.smtp.incoming import HeaderRules
from emailsys.telemetry import Telemetry
from emailsys.wire.sasl import MECHANISMS, Mechanisms


class Kind(enum.Enum):
    """Whom a port serves. The session detects implicit TLS (submissions, port 465) from its transport."""

    #: Port 25: mail for this system from unauthenticated clients; no logins (RFC 5321).
    RECEIVE = "smtp"
    #: Ports 587 and 465: mail from this system's users; TLS and login are required (RFC 6409, RFC 8314).
    SUBMISSION = "submission"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _nobody(ip: str) -> bool:
    return False


@dataclass(frozen=True)
class SMTPService:
    """What all sessions of an SMTP service share. Times are seconds.

    - `portal` logs in Anonymous, UsernamePassword and ProvenName credentials of octets, with a Client as the mind, and
      returns IDelivery avatars.
    - `secrets` serves the SASL mechanisms that need a stored secret; None provides none.
    - `hostname` is our name in replies and Received fields, and our authserv-id.
    - `context_factory` is used by STARTTLS; None disables STARTTLS.
    - `is_trusted` tells of an IP address whether its host may relay without a login.
    - `admission` may be shared by several services.
    """

    kind: Kind
    portal: Portal
    intake: IIntake
    settings: SMTPSettings
    clock: IReactorTime
    telemetry: Telemetry
    hostname: str
    context_factory: IOpenSSLServerConnectionCreator | None = None
    handshake_timeout: float = 30.0
    is_trusted: Callable[[str], bool] = _nobody
    admission: Admission = field(default_factory=Admission)
    now: Callable[[], datetime] = _utc_now
    secrets: ISecrets | None = None
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)

    @cached_property
    def turn(self) -> TurnEnd:
        """The end of the reactor's turn, when the sessions write their replies."""
        return TurnEnd(self.clock, self.telemetry)

    @cached_property
    def header_rules(self) -> HeaderRules:
        """How this service checks and changes header sections."""
        settings, is_submission = self.settings, self.kind is Kind.SUBMISSION
        return HeaderRules(self.hostname, settings.max_header_size, settings.max_received_fields, is_submission)
