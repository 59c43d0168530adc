"""What the sessions of one SMTP service share: its kind, its limits, and the seams to policy and store."""

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
from emailsys.net.smtp.incoming import HeadRules
from emailsys.telemetry import Telemetry
from emailsys.wire.sasl import MECHANISMS, Mechanisms


class Kind(enum.Enum):
    """For whom a port is. Whether TLS is implicit (submissions, port 465) the session sees at its transport."""

    #: Port 25: mail from strangers for this system, no logins (RFC 5321).
    RECEIVE = "smtp"
    #: Ports 587 and 465: mail of this system's users, TLS and login required (RFC 6409, RFC 8314).
    SUBMISSION = "submission"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class SMTPService:
    """What all sessions of an SMTP service share.

    `portal` logs in Anonymous, UsernamePassword and ProvenName credentials of octets, with a Client as the mind, and
    gives IDelivery avatars. `secrets` answers the SASL mechanisms that need a stored one; None gives them none.
    `hostname` is what we call ourselves, in replies, Received fields and as authserv-id.
    `context_factory` is what STARTTLS begins TLS with, None for no STARTTLS. Services may have their `admission` in
    common. Times are seconds.
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
    admission: Admission = field(default_factory=Admission)
    now: Callable[[], datetime] = _utc_now
    secrets: ISecrets | None = None
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)

    @cached_property
    def turn(self) -> TurnEnd:
        """When its sessions speak."""
        return TurnEnd(self.clock, self.telemetry)

    @cached_property
    def head_rules(self) -> HeadRules:
        """What is done to the head of a message that comes this way."""
        return HeadRules(self.hostname, self.settings.max_received_fields, complete=self.kind is Kind.SUBMISSION)
