"""A POP3 service, which its sessions share: its environment, its settings and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from emailsys.config.settings import POP3Settings
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.serving.plaintext_auth import plaintext_auth_rule
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.wire.sasl import MECHANISMS, Mechanisms


@dataclass(frozen=True)
class POP3Service:
    """The environment, settings and limits of all sessions of a POP3 service.

    - The portal of the environment logs in UsernamePassword and ProvenName credentials. For `pop3.IMailbox` it returns
      an avatar that provides IMaildrop.
    - `expire_days` is the age at which mail is deleted, in days; 0 for never.
    """

    environment: ServiceEnvironment
    settings: POP3Settings
    expire_days: float = 0.0
    admission: Admission = field(default_factory=Admission)
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)

    @cached_property
    def turn(self) -> TurnEnd:
        """The end of the reactor's turn, when the sessions write their replies."""
        return TurnEnd(self.environment.clock, self.environment.telemetry)

    @cached_property
    def allows_plaintext_auth(self) -> Callable[[str], bool]:
        """Tells whether the client with an IP address may log in without TLS."""
        return plaintext_auth_rule(self.settings.plaintext_auth_on_loopback, self.settings.plaintext_auth_networks)
