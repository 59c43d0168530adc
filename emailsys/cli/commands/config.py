"""The commands for the configuration: print an example, check a file, show the settings in force."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.commands.certs import CERTS_FOLDER
from emailsys.cli.options import Places, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.consistency import is_exposed
from emailsys.config.exit_status import Exit
from emailsys.config.settings import RouteSettings, Settings
from emailsys.platforms.packages import pip_install

_EXAMPLES: Final = """
emailsys config example > /etc/emailsys/emailsys.toml
emailsys config check                  the configuration in force
emailsys config check new.toml
emailsys config show --json | jq .queue
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def config() -> None:
    """Print an example configuration, check a file, show the settings in force."""


@config.command("example")
def example() -> None:
    """Print a commented configuration with all defaults. Save it as /etc/emailsys/emailsys.toml and edit it."""
    from emailsys.config.loader import example

    click.echo(example(), nl=False)


@config.command("show")
@as_json
@places
def show(where: Places, as_json: bool) -> None:
    """Print the settings in force, each with its origin, as TOML or JSON. The name of the file goes to stderr.

    The origin of a value is `default`, `file`, `$NAME` for an environment variable of this shell, or the references to
    variables and files that the value has in the file. With --json, the origins are in the object `origins`.
    """
    from emailsys.cli.active_config import in_force
    from emailsys.config.loader import origins_of
    from emailsys.config.toml_text import render

    where, origin = in_force(where)
    settings = where.settings()
    where.announce(settings.store.url)
    click.echo(f"emailsys: from {origin}", err=True)
    origins = origins_of(where.config)
    if as_json:
        print_json({**tomllib.loads(render(settings)), "origins": origins})
    else:
        click.echo(render(settings, origins), nl=False)


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@as_json
@places
def check(where: Places, file: Path | None, as_json: bool) -> int:
    """Check FILE, or the configuration in force, including its certificates, addresses, user and state folder.

    If the daemon runs, the command also checks the routes in its store. It looks up the host of each route, and prints
    the addresses that it found.

    Each error names the file, the key, the value that was found and what is allowed. With errors, the exit status is
    78; warnings do not change it.
    """
    from emailsys.cli.active_config import in_force
    from emailsys.cli.next_hop_check import check_routes
    from emailsys.config.loader import ConfigError
    from emailsys.supervisor import StartupError

    if file is not None:
        where = Places(where.state, file.absolute(), True)
    where, _ = in_force(where)
    name = str(where.config or "embedded default")
    found: list[str] = []
    warnings: list[str] = []
    try:
        settings = where.settings()
    except ConfigError as error:
        # Each problem names the file already.
        problems = error.problems
    except StartupError as error:
        problems = [str(error)]
    else:
        where.announce(settings.store.url)
        problems = [f"{name}: {problem}" for problem in problems_of(settings)]
        warnings = [f"{name}: warning: {warning}" for warning in warnings_of(settings, where.config is not None)]
        stored = routes_of_store(where)
        warnings += [f"the store: warning: {warning}" for warning in warnings_of_store(where, settings, stored)]
        numbered = enumerate(settings.routing.routes, start=1)
        routes = [(f"routing.routes[{number}]", route) for number, route in numbered]
        found, unfound = check_routes(settings, [*routes, *((f"the store: {here}", route) for here, route in stored)])
        warnings += [f"{name}: warning: {warning}" for warning in unfound]
    for line in (*problems, *warnings, *(f"{name}: {line}" for line in found)):
        click.echo(line, err=True)
    if as_json:
        print_json({"file": name, "ok": not problems, "problems": problems, "warnings": warnings, "found": found})
    elif not problems:
        click.echo(f"{name}: ok")
    return Exit.CONFIG if problems else Exit.OK


def problems_of(settings: Settings) -> Iterator[str]:
    """Yield what prevents these settings from working on this machine."""
    from emailsys.net.tls.client import client_context
    from emailsys.net.tls.context import TLSConfigError
    from emailsys.net.tls.server import ServerTLS
    from emailsys.pki import find_damage
    from emailsys.supervisor import (
        StartupError,
        check_folder_owner,
        check_state_folder,
        expand,
        find_identity,
        has_ipv6,
        listens_of,
    )

    for number, files in enumerate(settings.tls.certificates, start=1):
        try:
            ServerTLS([files])
        except TLSConfigError as error:
            yield f"tls.certificates[{number}]: {error}"
    damage = None if settings.tls.certificates else find_damage(settings.state / CERTS_FOLDER)
    if damage is not None:
        yield f"tls.certificates: none is configured, and the development CA cannot be used: {damage}"
    try:
        identity = find_identity(settings.user, settings.group)
        if identity is not None:
            check_folder_owner(identity, settings.state)
    except StartupError as error:
        yield str(error)
    try:
        check_state_folder(settings.state)
    except StartupError as error:
        yield str(error)
    for service, listen in listens_of(settings):
        key = "monitoring.metrics_listen" if service == "metrics" else f"listen.{service}"
        for host, port in expand(listen.addresses, has_ipv6()):
            problem = _no_such_address(host)
            if problem is not None:
                yield f"{key}: found {host} with port {port}; {problem}"
    for key in ("source_ipv4", "source_ipv6"):
        host = getattr(settings.outbound, key)
        problem = _no_such_address(host) if host else None
        if problem is not None:
            yield f'outbound.{key}: found "{host}"; {problem}; allowed: an address of this machine'
    if settings.outbound.ca_file is not None:
        try:
            client_context(settings.hostname, settings.outbound.ca_file)
        except TLSConfigError as error:
            yield f"outbound.ca_file: {error}"
    yield from _missing(settings)
    yield from _unloadable(settings)


def _unloadable(settings: Settings) -> Iterator[str]:
    """Yield plugins that cannot be loaded."""
    checks, logins, maildrops = settings.checks, settings.login.auth, settings.pop3.maildrops
    if checks.receive or checks.submission or logins != ("local",) or maildrops != "local":
        from twisted.internet import reactor

        from emailsys.daemon.checks import load_plugins
        from emailsys.daemon.logins import load_logins
        from emailsys.daemon.mailboxes import load_mailboxes
        from emailsys.supervisor import StartupError

        try:
            load_plugins(checks, settings.hostname, settings.state, reactor)
            load_logins(settings.login, settings.hostname, reactor)
            load_mailboxes(settings.pop3, settings.hostname, reactor)
        except StartupError as error:
            yield str(error)


def _missing(settings: Settings) -> Iterator[str]:
    """Yield packages and folders that are missing."""
    if settings.monitoring.metrics_listen and find_spec("prometheus_client") is None:
        yield f"monitoring.metrics_listen: requires prometheus-client; install it: {pip_install('prometheus-client')}"
    if settings.store.url is not None and settings.store.url.startswith("postgresql") and find_spec("psycopg") is None:
        yield f"store.url: PostgreSQL requires psycopg; install it: {pip_install('psycopg[binary]')}"
    log = settings.monitoring.mail_log
    if log is not None and not log.parent.is_dir():
        yield f'monitoring.mail_log: found "{log}"; allowed: a file in an existing folder'


def warnings_of(settings: Settings, from_file: bool) -> Iterator[str]:
    """Yield settings that work but are probably a mistake."""
    from emailsys.config.consistency import probable_mistakes
    from emailsys.mail.ip import is_loopback
    from emailsys.supervisor import expand, listens_of

    if not from_file:
        return
    if "." not in settings.hostname:
        yield f"hostname: {settings.hostname!r} is not a full host name, such as mail.example.org"
    pairs = [pair for _, listen in listens_of(settings) for pair in expand(listen.addresses, False)]
    if not pairs:
        yield "listen: no service has an address; the daemon receives nothing"
    elif settings.user is None and not all(is_loopback(host) for host, _ in pairs):
        yield "user: not set; root cannot start the daemon by this file; set it, or start the daemon as another user"
    elif settings.user == "root":
        yield 'user: "root"; a fault in the daemon would give away the machine'
    if not settings.tls.certificates:
        yield "tls.certificates: none; the daemon uses its development CA, which no other machine trusts"
    yield from _of_certificates(settings)
    yield from probable_mistakes(settings)


def _of_certificates(settings: Settings) -> Iterator[str]:
    """Yield certificates that the daemon serves, but that are not for this host name, are invalid or expire soon, or
    cannot be read by the user of the daemon."""
    from emailsys.net.tls.context import TLSConfigError
    from emailsys.net.tls.files import CertificatePair, read_pair
    from emailsys.platforms.users import is_root, may_read
    from emailsys.supervisor import StartupError, find_identity

    pairs: dict[int, CertificatePair] = {}
    identity = None
    # `problems_of` reports these errors.
    for number, files in enumerate(settings.tls.certificates, start=1):
        with suppress(TLSConfigError):
            pairs[number] = read_pair(files)
    with suppress(StartupError):
        identity = find_identity(settings.user, settings.group)
    if pairs and not any(pair.covers(settings.hostname.lower()) for pair in pairs.values()):
        yield f"tls.certificates: none is for {settings.hostname} (hostname); clients that check the name refuse it"
    now = datetime.now(UTC)
    for number, pair in pairs.items():
        files, here = pair.files, f"tls.certificates[{number}]"
        invalid = pair.why_invalid(now)
        for concern in (*pair.concerns(now), *(() if invalid is None else (invalid,))):
            yield f"{here}: {concern}"
        if is_exposed(files.key):
            yield f"{here}.key: {files.key} is open to every user of this machine; close it: chmod o= {files.key}"
        if identity is None or not is_root():
            continue
        for path in (files.chain, files.key):
            if not may_read(identity, path):
                yield f"{here}: {identity.name} cannot read {path}; the daemon will not serve renewed certificates"


def routes_of_store(where: Places) -> list[tuple[str, RouteSettings]]:
    """Return the routes in the store of the running daemon, each with its description; none if no daemon answers."""
    from emailsys.cli.commands.route import settings_of
    from emailsys.control.control_socket import ControlFailed, NoDaemon, ask
    from emailsys.control.requests import RouteList

    try:
        rows = ask(where.folder, RouteList()).get("result", [])
    except (NoDaemon, ControlFailed):
        return []
    return [
        (f"route from {row['from'] or 'any domain'} to {row['to'] or 'any domain'}", settings_of(row)) for row in rows
    ]


def warnings_of_store(where: Places, settings: Settings, routes: Sequence[tuple[str, RouteSettings]]) -> Iterator[str]:
    """Yield the problem of the store, and its routes that are never used or probably a mistake."""
    from emailsys.config.consistency import odd_route
    from emailsys.control.control_socket import ControlFailed, NoDaemon, ask
    from emailsys.control.requests import Status
    from emailsys.platforms.users import acting_as, owner_of
    from emailsys.store.check import find_problem

    try:
        problem = ask(where.folder, Status()).get("result", {}).get("store", {}).get("problem")
    except NoDaemon:
        # The user of the daemon may have put links into the folder.
        with acting_as(owner_of(settings.state) if settings.state.is_dir() else None):
            problem = find_problem(settings.store, settings.state)
    except ControlFailed:
        return
    if problem is not None:
        yield problem
    first = {(route.recipient_domain, route.sender_domain) for route in settings.routing.routes}
    for here, route in routes:
        if (route.recipient_domain, route.sender_domain) in first:
            yield f"{here}: never used; the configuration has a route for the same domains"
        yield from odd_route(here, route)


def _no_such_address(host: str) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return f"this machine cannot listen there: {os.strerror(error.errno or 0)}"
    return None
