"""The commands for aliases."""

from __future__ import annotations

from typing import Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import ADDRESS, ADDRESS_OR_DOMAIN, Places, as_json, if_missing, places
from emailsys.cli.output import print_done, print_rows
from emailsys.control.requests import AliasAdd, AliasList, AliasRemove, AliasSet, Request
from emailsys.mail.address import Address

_EXAMPLES: Final = """
emailsys alias set sales@example.org alice@example.org bob@elsewhere.example
emailsys alias set @example.org alice@example.org            the catch-all: mail for names that do not exist
emailsys alias add sales@example.org carol@example.org       one more target
emailsys alias add sales@example.org alice@example.org --if-missing
emailsys alias list example.org
emailsys alias remove sales@example.org bob@elsewhere.example
emailsys alias remove sales@example.org
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def alias() -> None:
    """Set, list and remove aliases: addresses whose mail goes to other addresses, on this system or elsewhere."""


_name = click.argument("name", type=ADDRESS_OR_DOMAIN)


def _change(where: Places, request: Request, as_json: bool) -> None:
    row = administer(where, request)
    done = f"{row['name']} goes to {', '.join(row['targets'])}" if row["targets"] else f"removed {row['name']}"
    print_done(row, as_json, done)


_targets = click.argument("targets", type=ADDRESS, nargs=-1, required=True, metavar="TARGET...")


@alias.command("set")
@_name
@_targets
@as_json
@places
def set_(where: Places, name: Address, targets: tuple[Address, ...], as_json: bool) -> None:
    """Send mail for NAME to TARGETs only. @DOMAIN is the catch-all of a domain."""
    _change(where, AliasSet(name, targets), as_json)


@alias.command("add")
@_name
@_targets
@if_missing
@as_json
@places
def add(where: Places, name: Address, targets: tuple[Address, ...], if_missing: bool, as_json: bool) -> None:
    """Send mail for NAME to TARGETs, too."""
    if if_missing:
        key = name.key
        row = next((row for row in administer(where, AliasList(name.domain)) if _key(row["name"]) == key), None)
        if row is not None:
            print_done(row, as_json, f"{row['name']} exists already; nothing was changed")
            return
    _change(where, AliasAdd(name, targets), as_json)


def _key(name: str) -> tuple[str, str]:
    return ADDRESS_OR_DOMAIN.convert(name, None, None).key


@alias.command("remove")
@_name
@click.argument("targets", type=ADDRESS, nargs=-1, metavar="[TARGET]...")
@as_json
@places
def remove(where: Places, name: Address, targets: tuple[Address, ...], as_json: bool) -> None:
    """Remove TARGETs from the alias NAME. Without any TARGET, remove the alias itself."""
    _change(where, AliasRemove(name, targets or None), as_json)


@alias.command("list")
@click.argument("domain", required=False)
@as_json
@places
def list_(where: Places, domain: str | None, as_json: bool) -> None:
    """List the aliases of DOMAIN, or of all domains."""
    rows = administer(where, AliasList(domain))
    if not as_json:
        rows = [{"name": row["name"], "targets": ", ".join(row["targets"])} for row in rows]
    print_rows(rows, as_json, "no aliases yet; add one with: emailsys alias set NAME TARGET...")
