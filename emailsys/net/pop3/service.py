"""What the sessions of a POP3 service share: portal, settings, clock and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from twisted.cred.portal import Portal
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import ISecrets
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.telemetry import Telemetry
from emailsys.wire.sasl import MECHANISMS, Mechanisms


@dataclass(frozen=True)
class POP3Service:
    """What all sessions of a POP3 service share. Times are seconds, except `expire_days`.

    - `portal` logs in UsernamePassword and ProvenName credentials of octets, with a Client as the mind. For
      `pop3.IMailbox` it returns an avatar that provides IMaildrop.
    - `secrets` serves the SASL mechanisms that need a stored secret; None provides none.
    - `hostname` appears in the greeting.
    - `context_factory` is used by STLS; None disables STLS.
    - `expire_days` is the age at which mail is deleted, in days; 0 for never.
    """

    portal: Portal
    settings: POP3Settings
    clock: IReactorTime
    telemetry: Telemetry
    hostname: str
    context_factory: IOpenSSLServerConnectionCreator | None = None
    handshake_timeout: float = 30.0
    expire_days: float = 0.0
    admission: Admission = field(default_factory=Admission)
    secrets: ISecrets | None = None
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)

    @cached_property
    def turn(self) -> TurnEnd:
        """The end of the reactor's turn, when the sessions write their replies."""
        return TurnEnd(self.clock, self.telemetry)
