"""The SMTP servers from the settings, for the daemon and for its workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from emailsys.config.settings import Settings
from emailsys.interfaces import IChecks, IIntake
from emailsys.mail.networks import Networks
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService


def smtp_factory(
    environment: ServiceEnvironment, settings: Settings, kind: Kind, intake: IIntake, admission: Admission
) -> ESMTPServerFactory:
    """Return the factory of SMTP sessions of one kind."""
    trusted = Networks(settings.routing.trusted_networks)
    return ESMTPServerFactory(
        SMTPService(
            environment=environment,
            kind=kind,
            intake=intake,
            settings=settings.smtp,
            admission=admission,
            is_trusted=trusted.__contains__,
        )
    )


def configure_smtp(factory: ESMTPServerFactory, settings: Settings) -> None:
    """Use these settings for connections that begin from now on."""
    service = factory.service
    environment = replace(service.environment, handshake_timeout=settings.tls.handshake_timeout)
    factory.service = replace(service, environment=environment, settings=settings.smtp)
    factory.timeout = int(settings.smtp.command_timeout)


def ask_checks(factories: Iterable[ESMTPServerFactory], checks: Mapping[str, IChecks]) -> None:
    """Ask the checks, by service, about all mail from now on."""
    for factory in factories:
        factory.service = replace(factory.service, checks=checks.get(factory.service.kind.value))
