"""The commands for the configuration: print an example, check a file, show what is in force."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from emailsys.cli.options import Places, places
from emailsys.config.exits import Exit
from emailsys.config.settings import Settings


@click.group()
def config() -> None:
    """Print an example configuration, check one, show what is in force."""


@config.command("example")
def example() -> None:
    """Print a commented configuration with the defaults, to be kept as /etc/emailsys/emailsys.toml."""
    from emailsys.config.loader import example

    click.echo(example(), nl=False)


@config.command("show")
@places
def show(where: Places) -> None:
    """Print the settings in force, as TOML; on stderr, where they come from."""
    from emailsys.config.show import render

    settings = where.settings()
    where.announce(settings)
    click.echo(f"emailsys: from {where.config or 'the embedded default'}", err=True)
    click.echo(render(settings), nl=False)


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@places
def check(where: Places, file: Path | None) -> int:
    """Check FILE, or the configuration in force, with its certificates, addresses, user and state folder.

    Each error names the file, the key, what was found and what is allowed. The status is 78 where there are any.
    """
    if file is not None:
        where = Places(where.state, file.absolute())
    settings = where.settings()
    where.announce(settings)
    name = where.config or "embedded default"
    problems = list(problems_of(settings))
    for problem in problems:
        click.echo(f"{name}: {problem}", err=True)
    for warning in warnings_of(settings, where.config is not None):
        click.echo(f"{name}: warning: {warning}", err=True)
    if problems:
        return Exit.CONFIG
    click.echo(f"{name}: ok")
    return Exit.OK


def problems_of(settings: Settings) -> Iterator[str]:
    """What keeps these settings from working on this machine."""
    from emailsys.net.certificate_files import TLSConfigError, read_pair
    from emailsys.supervisor import StartupError, check_state_folder, expand, find_identity, has_ipv6, listens_of

    now = datetime.now(UTC)
    for number, files in enumerate(settings.tls.certificates, start=1):
        try:
            read_pair(files, now)
        except TLSConfigError as error:
            yield f"tls.certificates[{number}]: {error}"
    try:
        find_identity(settings.user, settings.group)
    except StartupError as error:
        yield str(error)
    try:
        check_state_folder(settings.state)
    except StartupError as error:
        yield str(error)
    for service, listen in listens_of(settings):
        for host, port in expand(listen.addresses, has_ipv6()):
            problem = _no_such_address(host)
            if problem is not None:
                yield f"listen.{service}: found {host} with port {port}; {problem}"


def warnings_of(settings: Settings, from_file: bool) -> Iterator[str]:
    """What works, but is seldom meant."""
    from emailsys.supervisor import expand, listens_of

    if not from_file:
        return
    if "." not in settings.hostname:
        yield f"hostname: {settings.hostname!r} is no full name; other servers want one such as mail.example.org"
    ports = [port for _, listen in listens_of(settings) for _, port in expand(listen.addresses, False)]
    if not ports:
        yield "listen: no service listens anywhere"
    elif settings.user is None and min(ports) < 1024:
        yield "user: none; ports below 1024 need root to start, and the daemon would then keep running as root"
    if not settings.tls.certificates:
        yield "tls.certificates: none; the development CA is used, which no other machine trusts"


def _no_such_address(host: str) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return f"this machine cannot listen there: {os.strerror(error.errno or 0)}"
    return None
