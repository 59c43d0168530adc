"""The commands for the web face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import ADDRESS, Places, as_json, places
from emailsys.cli.output import print_json
from emailsys.control.requests import WebLogin
from emailsys.mail.address import Address

_EXAMPLES: Final = """
emailsys web login                     prints a link to the operators' pages, which works once
emailsys web login ann@example.org     ... to the mail of an account
xdg-open "$(emailsys web login)"       opens it at once
"""
_EVERY_ADDRESS: Final = ("0.0.0.0", "[::]", "*")  # noqa: S104 - compared, not bound
_HTTPS_PORT: Final = "443"


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def web() -> None:
    """Log in to the web face."""


@web.command("login")
@click.argument("address", type=ADDRESS, required=False)
@as_json
@places
def login(where: Places, address: Address | None, as_json: bool) -> None:
    """Print a link that logs in to the operators' pages, or to the mail of ADDRESS.

    It works once, within ten minutes. The link of an operator has all scopes of operators. Anyone who has it can
    operate the system: do not send it by mail.
    """
    answer = administer(where, WebLogin(address))
    link = _link(answer)
    if as_json:
        print_json({"link": link})
        return
    click.echo(link)
    click.echo("The link works once, within ten minutes.", err=True)


def _link(answer: Mapping[str, Any]) -> str:
    """Return the address of the link: by HTTPS if it is served, at the name of the host."""
    for scheme in ("https", "http"):
        for place in answer[scheme]:
            host, _, port = place.rpartition(":")
            if scheme == "https" or host in _EVERY_ADDRESS:
                host = answer["hostname"]
            shown = host if scheme == "https" and port == _HTTPS_PORT else f"{host}:{port}"
            return f"{scheme}://{shown}{answer['path']}"
    return str(answer["path"])
