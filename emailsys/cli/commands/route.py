"""The commands for routes of outbound mail."""

from __future__ import annotations

from typing import Any, Final

import click

from emailsys.cli.active_config import in_force
from emailsys.cli.administer import administer
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.next_hop_check import check_routes
from emailsys.cli.options import ADDRESS, Places, as_json, places
from emailsys.cli.output import print_done, print_json, print_rows
from emailsys.cli.password import Source, ask_password, password_options
from emailsys.config.consistency import odd_route
from emailsys.config.settings import RouteSettings
from emailsys.config.values import Unfit, a_fingerprint
from emailsys.control.requests import RouteExplain, RouteList, RouteRemove, RouteSet
from emailsys.mail.address import Address
from emailsys.mail.next_hop import TLSPolicy

_EXAMPLES: Final = """
emailsys route set smtp.provider.example --port 587 --tls verified --username me   all mail, through a smart host
emailsys route set mx.partner.example --to partner.example                         mail for one domain
emailsys route set out.example --from news.example                                 mail from one domain
emailsys route set lmtp:/run/dovecot/lmtp --to office.example                      into the mailboxes of Dovecot
emailsys route list
emailsys route explain bob@elsewhere.example --from alice@example.org
emailsys route remove --to partner.example
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def route() -> None:
    """Set, list, remove and explain routes: mail that goes to a named host instead of the MX hosts of its domain."""


def _fingerprint(value: str) -> str:
    try:
        return a_fingerprint(value) if value else ""
    except Unfit as error:
        raise click.BadParameter(f"{value!r} is not {error.allowed}") from None


_to = click.option(
    "--to", "recipient_domain", metavar="DOMAIN", default="", help="Only mail for this recipient domain."
)
_from = click.option("--from", "sender_domain", metavar="DOMAIN", default="", help="Only mail from this sender domain.")


@route.command("set")
@click.argument("host")
@_to
@_from
@click.option("--port", type=click.IntRange(1, 65535), show_default="25; 24 for LMTP")
@click.option(
    "--tls",
    type=click.Choice([policy.value for policy in TLSPolicy]),
    show_default="opportunistic; verified with a login or a fingerprint",
    help="opportunistic: TLS if offered; required: no mail without TLS; verified: TLS with a valid certificate. "
    "A login always implies verified.",
)
@click.option("--implicit-tls", is_flag=True, help="Start TLS with the first octet, as on port 465.")
@click.option(
    "--certificate-name", metavar="NAME", default="", help="The name that the certificate must have. Default: HOST."
)
@click.option(
    "--certificate-fingerprint",
    metavar="SHA256",
    default="",
    callback=lambda context, option, value: _fingerprint(value),
    help="The fingerprint of the only certificate that HOST may have, for example one that it signed itself.",
)
@click.option(
    "--username", metavar="NAME", default="", help="Log in to HOST with this name; you are asked for the password."
)
@password_options
@as_json
@places
def set_(where: Places, host: str, username: str, source: Source, as_json: bool, **options: Any) -> None:
    """Send outbound mail to HOST: mail for a domain (--to), from a domain (--from), or all mail.

    HOST is a host name, or an IP address with or without brackets. The command looks the name up and prints what it
    found. With "lmtp:" before it, HOST is a mailbox server that speaks LMTP (RFC 2033), such as Dovecot; it may then
    also be the path of a Unix socket. To accept mail for its domain from anybody, list the domain in
    routing.relay_domains.

    The store keeps the password in clear text. A route in the configuration names a file instead (password_file).
    """
    password = ask_password(source, Address(username, host)) if username else ""
    is_verified = username or options["certificate_fingerprint"]
    default = TLSPolicy.VERIFIED if is_verified else TLSPolicy.OPPORTUNISTIC
    options["tls"] = TLSPolicy(options["tls"] or default)
    options["port"] = options["port"] or 0
    row = administer(where, RouteSet(host, username=username, password=password, **options))
    settings = settings_of(row)
    in_use, _ = in_force(where)
    found, unfound = check_routes(in_use.settings(), [("route", settings)])
    for line in found:
        click.echo(f"emailsys: {line}", err=True)
    for warning in (*odd_route("route", settings), *unfound):
        click.echo(f"emailsys: warning: {warning}", err=True)
    print_done(row, as_json, f"{_which(options['recipient_domain'], options['sender_domain'])} goes to {host}")


def settings_of(row: dict[str, Any]) -> RouteSettings:
    """Return a route of the store, as listed in an answer, as settings."""
    return RouteSettings(
        host=row["host"],
        port=row["port"],
        recipient_domain=row["to"] or "",
        sender_domain=row["from"] or "",
        tls=TLSPolicy(row["tls"]),
        implicit_tls=row["implicit_tls"],
        certificate_name=row["certificate_name"] or "",
        certificate_fingerprint=row.get("certificate_fingerprint") or "",
        username=row["username"] or "",
    )


def _which(to: str, sender: str) -> str:
    return "mail" + (f" from {sender}" if sender else "") + (f" to {to}" if to else "" if sender else " to all others")


@route.command("list")
@as_json
@places
def list_(where: Places, as_json: bool) -> None:
    """List the routes of the store. `emailsys config show` shows those of the configuration file."""
    rows = administer(where, RouteList())
    print_rows(rows, as_json, "no routes: outbound mail goes to the MX hosts of its domain")


@route.command("remove")
@_to
@_from
@as_json
@places
def remove(where: Places, recipient_domain: str, sender_domain: str, as_json: bool) -> None:
    """Remove the route for these domains; without --to and --from, the route for all mail."""
    administer(where, RouteRemove(recipient_domain, sender_domain))
    removed = {"removed": {"to": recipient_domain or None, "from": sender_domain or None}}
    print_done(removed, as_json, f"removed the route for {_which(recipient_domain, sender_domain)}")


@route.command("explain")
@click.argument("address", type=ADDRESS)
@click.option("--from", "sender", type=ADDRESS, metavar="ADDRESS", help="The sender; routes may depend on its domain.")
@as_json
@places
def explain(where: Places, address: Address, sender: Address | None, as_json: bool) -> None:
    """Explain step by step where mail for ADDRESS would go now, and why."""
    found = administer(where, RouteExplain(address, sender))
    if as_json:
        print_json(found)
        return
    for step in found["steps"]:
        click.echo("  " * step["depth"] + step["what"])
    for hop in found["next_hops"]:
        login = f", logged in as {hop['login']}" if hop["login"] else ""
        click.echo(f"{hop['recipient']} goes to {hop['next_hop']} (TLS {hop['tls']}{login}): {hop['why']}")
        # An older daemon does not tell.
        if hop.get("problem"):
            click.echo(f"  mail waits: {hop['problem']}")
    if not found["routes"]:
        click.echo("mail for this address would be refused: 550 5.1.1")
