"""The commands for aliases."""

from __future__ import annotations

from typing import Any

import click

from emailsys.cli.accounts import administer
from emailsys.cli.options import ADDRESS, Places, as_json, places
from emailsys.cli.output import print_rows
from emailsys.mail.address import Address, is_domain

_EXAMPLES = """\b
Examples:
  emailsys alias set sales@example.org alice@example.org bob@elsewhere.example
  emailsys alias set @example.org alice@example.org      the catch-all: names that nobody has
  emailsys alias remove sales@example.org
"""


class NameType(click.ParamType[Address]):
    """An address of this system, or @domain for its catch-all."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """An Address, with an empty local part for a catch-all."""
        if isinstance(value, str) and value.startswith("@"):
            if not is_domain(value[1:]):
                self.fail(f"{value!r} names no domain", param, ctx)
            return Address("", value[1:])
        return ADDRESS.convert(value, param, ctx)


NAME = NameType()


def _field(address: Address) -> list[str]:
    return [address.local, address.domain]


@click.group(epilog=_EXAMPLES)
def alias() -> None:
    """Set, list and remove aliases: names that stand for others, here or elsewhere."""


@alias.command("set", epilog=_EXAMPLES)
@click.argument("name", type=NAME)
@click.argument("targets", type=ADDRESS, nargs=-1, required=True, metavar="TARGET...")
@places
def set_(where: Places, name: Address, targets: tuple[Address, ...]) -> None:
    """Let NAME stand for all TARGETs, and no longer for what it stood for. @domain is its catch-all."""
    administer(where, {"command": "alias.set", "name": _field(name), "targets": [_field(one) for one in targets]})
    shown = str(name) if name.local else f"@{name.domain}"
    click.echo(f"{shown} stands for {', '.join(map(str, targets))}", err=True)


@alias.command("list")
@click.argument("domain", required=False)
@as_json
@places
def list_(where: Places, domain: str | None, as_json: bool) -> None:
    """List the aliases, of DOMAIN or of all."""
    rows = administer(where, {"command": "alias.list", "domain": domain})
    if not as_json:
        rows = [{"name": row["name"], "targets": ", ".join(row["targets"])} for row in rows]
    print_rows(rows, as_json, "no aliases yet: emailsys alias set NAME TARGET...")


@alias.command("remove")
@click.argument("name", type=NAME)
@places
def remove(where: Places, name: Address) -> None:
    """Remove an alias."""
    administer(where, {"command": "alias.remove", "name": _field(name)})
    click.echo(f"removed {str(name) if name.local else '@' + name.domain}", err=True)
