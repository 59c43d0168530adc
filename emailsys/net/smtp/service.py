"""An SMTP service, which its sessions share: its environment, its kind, its limits, and the store."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import IChecks, IIntake
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.serving.plaintext_auth import plaintext_auth_rule
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.net.smtp.incoming import HeaderRules
from emailsys.wire.sasl import MECHANISMS, Mechanisms


class Kind(enum.Enum):
    """The kinds of SMTP service. The session detects implicit TLS (submissions, port 465) from its transport."""

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
    """The environment, kind, limits and store of all sessions of an SMTP service.

    - The portal of the environment logs in Anonymous, UsernamePassword and ProvenName credentials. It returns avatars
      that provide IDelivery.
    - `is_trusted` tells of an IP address whether its host may relay without a login.
    - `admission` may be shared by several services.
    - `checks` are asked about each client and message; None if there are none.
    """

    environment: ServiceEnvironment
    kind: Kind
    intake: IIntake
    settings: SMTPSettings
    is_trusted: Callable[[str], bool] = _nobody
    admission: Admission = field(default_factory=Admission)
    now: Callable[[], datetime] = _utc_now
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)
    checks: IChecks | None = None

    @cached_property
    def turn(self) -> TurnEnd:
        """The end of the reactor's turn, when the sessions write their replies."""
        return TurnEnd(self.environment.clock, self.environment.telemetry)

    @cached_property
    def allows_plaintext_auth(self) -> Callable[[str], bool]:
        """Tells whether the client with an IP address may log in without TLS."""
        return plaintext_auth_rule(self.settings.plaintext_auth_on_loopback, self.settings.plaintext_auth_networks)

    @cached_property
    def header_rules(self) -> HeaderRules:
        """How this service checks and changes header sections."""
        settings, is_submission = self.settings, self.kind is Kind.SUBMISSION
        return HeaderRules(
            self.environment.hostname, settings.max_header_size, settings.max_received_fields, is_submission
        )
