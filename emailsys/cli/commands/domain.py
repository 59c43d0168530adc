"""The commands for domains."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.bulk_accounts import add_domains
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import ADDRESS, SINGLE, NoStore, Places, Refused, as_json, if_missing, places
from emailsys.cli.output import print_done, print_rows
from emailsys.cli.quota import quota_octets, quota_text, shown_share
from emailsys.config.exit_status import Exit
from emailsys.control.requests import DomainAdd, DomainList, DomainQuota, DomainRemove
from emailsys.mail.address import Address, domain_key, is_mail_domain

_EXAMPLES: Final = """
emailsys domain add example.org --postmaster alice@example.org
emailsys domain add example.org --postmaster alice@example.org --if-missing
emailsys domain add --file domains.txt           a line for each: name, space, postmaster
emailsys domain list
emailsys domain quota example.org 50GiB          all its maildrops together; `none` removes the quota
emailsys domain remove example.org
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def domain() -> None:
    """Add, list and remove the domains for which this system receives mail."""


@domain.command("add")
@click.argument("name", required=False)
@click.option(
    "--file",
    type=click.File("rb"),
    help="Add all domains of a file, `-` for standard input. Each line has a name, a space, and the address of the "
    "postmaster. Or JSON objects with name and postmaster.",
)
@click.option(
    "--postmaster",
    type=ADDRESS,
    metavar="ADDRESS",
    help="Receives the mail for postmaster and abuse at this domain. On a terminal, you are asked for it.",
)
@if_missing
@as_json
@places
def add(
    where: Places,
    name: str | None,
    file: BinaryIO | None,
    postmaster: Address | None,
    if_missing: bool,
    as_json: bool,
) -> int:
    """Add a domain, or with --file many domains, with the addresses postmaster and abuse (RFC 5321 §4.5.1, RFC 2142).

    If there is no store yet, this creates one, as `emailsys init` does. If a line of the file cannot be used, its
    number and the reason are printed, the others are added, and the exit status is 65.
    """
    if (name is None) == (file is None):
        raise click.UsageError("Name a domain, or a file with --file FILE, not both.")
    if file is not None:
        if postmaster is not None:
            raise click.UsageError("The file has the postmasters: leave out --postmaster.")
        if if_missing:
            raise click.UsageError(SINGLE)
        return add_domains(where, file, as_json)
    assert name is not None
    if not is_mail_domain(name):
        raise click.BadParameter(
            f"{name!r} is not a domain name; examples: example.org, grün.example", param_hint="'NAME'"
        )
    if if_missing:
        known = next((row for row in _domains(where) if domain_key(row["name"]) == domain_key(name)), None)
        if known is not None:
            exists = {"name": known["name"], "postmaster": known["postmaster"]}
            print_done(exists, as_json, f"{known['name']} exists already; nothing was changed")
            return Exit.OK
    if postmaster is None:
        if not sys.stdin.isatty():
            raise Refused(
                f"somebody must read the mail for postmaster@{name} and abuse@{name}: add --postmaster ADDRESS",
                Exit.USAGE,
            )
        question = f"Address that receives mail for postmaster@{name} and abuse@{name}:"
        postmaster = click.prompt(question, type=ADDRESS, prompt_suffix=" ")
    administer(where, DomainAdd(name, postmaster))
    added = {"name": name, "postmaster": str(postmaster)}
    print_done(added, as_json, f"added {name}; mail for postmaster and abuse goes to {postmaster}")
    return Exit.OK


def _domains(where: Places) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = administer(where, DomainList())
    except NoStore:
        # The first domain makes the store.
        return []
    return rows


@domain.command("list")
@as_json
@places
def list_(where: Places, as_json: bool) -> None:
    """List the domains in the order in which they were added, with the size of their mail and their quota."""
    rows = administer(where, DomainList())
    if not as_json:
        rows = [{**row, "used": shown_share(row["used"])} for row in rows]
    print_rows(rows, as_json, "no domains yet; add one with: emailsys domain add NAME")


@domain.command("remove")
@click.argument("name")
@as_json
@places
def remove(where: Places, name: str, as_json: bool) -> None:
    """Remove a domain. The domain must not have users."""
    administer(where, DomainRemove(name))
    print_done({"removed": name}, as_json, f"removed {name}")


@domain.command("quota")
@click.argument("name")
@click.argument("size")
@as_json
@places
def quota(where: Places, name: str, size: str, as_json: bool) -> None:
    """Limit the mail in all maildrops of a domain together.

    SIZE is a size such as 50GiB, or `none` (or 0) for no limit.
    """
    octets = quota_octets(size)
    administer(where, DomainQuota(name, octets))
    print_done({"name": name, "quota": octets}, as_json, quota_text(name, octets or 0, size))
