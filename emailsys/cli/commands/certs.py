"""The commands for certificates: create, renew and show those of the development CA, show the configured ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from emailsys import pki
from emailsys.cli.active_config import in_force
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import counted
from emailsys.supervisor import as_owner

#: The folder of the development CA, in the state folder.
CERTS_FOLDER: Final = "certs"


_EXAMPLES: Final = """
emailsys certs init            create missing certificates, for the hostname of the configuration
emailsys certs show            the development CA and the configured certificates, with their expiry
emailsys certs renew
emailsys certs recipe
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES), invoke_without_command=True)
@click.pass_context
def certs(context: click.Context) -> None:
    """Create, renew and show certificates of the development CA. Without a command, do what `certs show` does.

    The development CA is for tests: no other machine trusts it. For a public server, name certificates of a public
    CA under [[tls.certificates]] in the configuration.
    """
    if context.invoked_subcommand is None:
        context.invoke(show)


@certs.command("init")
@as_json
@places
def init(where: Places, as_json: bool) -> None:
    """Create the CA and its server certificates if they are missing or expire soon, and show them."""
    _ensure(where, as_json, renew=False)


@certs.command("renew")
@as_json
@places
def renew(where: Places, as_json: bool) -> None:
    """Issue new server certificates now. The CA and the keys stay the same."""
    _ensure(where, as_json, renew=True)


@certs.command("show")
@as_json
@places
def show(where: Places, as_json: bool) -> None:
    """Show the development CA, its server certificates and the certificates of the configuration."""
    where.announce()
    folder = where.folder / CERTS_FOLDER
    paths = [path for path in (folder / "ca.pem", *sorted(folder.glob("server-*.pem"))) if path.is_file()]
    configured = [files.chain for files in where.settings().tls.certificates]
    if not paths and not configured:
        raise Refused("no certificates yet; create some with: emailsys certs init")
    _show(paths, as_json, configured)


@certs.command("recipe")
def recipe() -> None:
    """Print the recipe of the development certificates; its path goes to stderr."""
    try:
        path = pki.recipe_path()
        text = path.read_text("utf-8")
    except (pki.PKIError, OSError) as error:
        raise Refused(str(error), Exit.CONFIG) from error
    click.echo(f"emailsys: {path}", err=True)
    click.echo(text, nl=False)


def _ensure(where: Places, as_json: bool, renew: bool) -> None:
    where.announce()
    hostname, origin = _hostname(where)
    try:
        with as_owner(where.folder):
            made = pki.ensure_development_ca(where.folder / CERTS_FOLDER, [hostname], renew=renew)
    except pki.PKIError as error:
        raise Refused(str(error), Exit.CONFIG) from error
    for path in made.written:
        click.echo(f"emailsys: wrote {path}", err=True)
    if made.written:
        click.echo("emailsys: a running daemon reads them at SIGHUP, and once a day", err=True)
    click.echo(f"emailsys: for {hostname} and this machine's loopback names: {origin}", err=True)
    _show([made.authority, *(files.chain for files in made.certificates)], as_json)


def _hostname(where: Places) -> tuple[str, str]:
    """Return the name for server certificates, and a description of its origin."""
    where, origin = in_force(where)
    settings = where.settings()
    if settings.tls.certificates:
        origin += "; the daemon serves the certificates that it names, not these"
    elif where.config is None:
        origin += "; --config FILE names one"
    return settings.hostname, f"from {origin}"


def _show(paths: Sequence[Path], as_json: bool, configured: Sequence[Path] = ()) -> None:
    """Print certificates.

    @param configured: the files of the configuration, which are read as leniently as the daemon reads them.
    """
    from emailsys.net.tls.context import TLSConfigError
    from emailsys.net.tls.files import read_chain

    try:
        facts = [pki.certificate_facts(path) for path in paths]
        facts += [pki.certificate_facts(path, read_chain(path)[0]) for path in configured]
    except (pki.PKIError, TLSConfigError) as error:
        raise Refused(str(error), Exit.CONFIG) from error
    if as_json:
        print_json([_as_document(each) for each in facts])
        return
    now = datetime.now(UTC)
    click.echo("\n\n".join(_as_text(each, now) for each in facts))


def _as_document(facts: pki.CertificateFacts) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in dataclasses.asdict(facts).items()
    }


def _as_text(facts: pki.CertificateFacts, now: datetime) -> str:
    left = (facts.not_after - now).days
    state = f"{counted(left, 'day')} left" if facts.not_after > now else "EXPIRED"
    rows = (
        ("subject", facts.subject),
        ("issuer", facts.issuer),
        ("names", ", ".join(facts.names) or "none: this is a CA"),
        ("key", facts.key),
        ("valid", f"{facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d} ({state})"),
        ("serial", facts.serial),
        ("SHA-256", facts.sha256),
    )
    return "\n".join((facts.path, *(f"  {name:<8} {value}" for name, value in rows)))
