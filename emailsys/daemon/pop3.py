"""The POP3 server from the settings, for the daemon and for its workers."""

from __future__ import annotations

from dataclasses import replace

from emailsys.config.settings import Settings
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment


def pop3_factory(environment: ServiceEnvironment, settings: Settings, admission: Admission) -> POP3ServerFactory:
    """Return the factory of POP3 sessions."""
    days = settings.store.maildrop_days
    return POP3ServerFactory(
        POP3Service(environment=environment, settings=settings.pop3, expire_days=days, admission=admission)
    )


def configure_pop3(factory: POP3ServerFactory, settings: Settings) -> None:
    """Use these settings for connections that begin from now on."""
    environment = replace(factory.service.environment, handshake_timeout=settings.tls.handshake_timeout)
    factory.service = replace(factory.service, environment=environment, settings=settings.pop3)
