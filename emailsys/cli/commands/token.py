"""The commands for access tokens of the HTTP API."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from emailsys.cli.administer import administer
from emailsys.cli.amounts import DURATION, shown_time
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import ADDRESS, Places, as_json, choose_places, places
from emailsys.cli.output import print_done, print_json, print_rows
from emailsys.control.requests import TokenAdd, TokenList, TokenRemove
from emailsys.interfaces.operators import Scope, scope_problem
from emailsys.mail.address import Address
from emailsys.tokens import make_token

_EXAMPLES: Final = """
emailsys token add alice@example.org --scope mail:read --label 'backup script'
emailsys token add alice@example.org --scope mail:read --scope mail:send --expires 90d
emailsys token add --operator --scope system:read --label monitoring
emailsys token list
emailsys token list alice@example.org
emailsys token remove 0123456789ab                                              refused from the next request on
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def token() -> None:
    """Add, list and remove access tokens, by which programs use the HTTP API."""


@token.command("add")
@click.argument("address", type=ADDRESS, required=False)
@click.option("--operator", is_flag=True, help="A token of the operators, for the whole system but no maildrop.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="What the token permits; may be given several times. The mail scopes are for accounts, the others for "
    "operators.",
)
@click.option("--expires", type=DURATION, metavar="DURATION", help="When it ends, such as 12h or 90d. Default: never.")
@click.option("--label", default="", help="What the token is for; `token list` shows it.")
@as_json
@places
def add(
    where: Places,
    address: Address | None,
    operator: bool,
    scopes: tuple[str, ...],
    expires: float | None,
    label: str,
    as_json: bool,
) -> None:
    """Add a token of an account, or with --operator of the operators, and print it.

    The token is printed once, on standard output. The store keeps only a digest of it. Anyone who has the token can
    do what its scopes permit, without a password.
    """
    if (address is None) != operator:
        raise click.UsageError("Name an account, or use --operator, not both.")
    chosen = frozenset(map(Scope, scopes))
    problem = scope_problem(address, chosen)
    if problem is not None:
        raise click.UsageError(f"--scope: {problem}.")
    if expires is not None and expires <= 0:
        raise click.UsageError("--expires: the duration must be longer than 0.")
    made = make_token()
    row = administer(where, TokenAdd(made.token_id, made.digest.hex(), chosen, address, label, expires or 0.0))
    if as_json:
        print_json({**row, "secret": made.text})
        return
    click.echo(made.text)
    owner = "the operators" if address is None else str(address)
    until = "until it is removed" if row["expires"] is None else f"until {shown_time(row['expires'])}"
    click.echo(
        f"added token {made.token_id} of {owner}, valid {until}. It is shown only now: keep it as a password.",
        err=True,
    )


@token.command("list")
@click.argument("address", type=ADDRESS, required=False)
@as_json
@places
def list_(where: Places, address: Address | None, as_json: bool) -> None:
    """List the tokens of ADDRESS, or all tokens, without their secrets."""
    rows = administer(where, TokenList(address))
    if not as_json:
        rows = [_shown(row) for row in rows]
    print_rows(rows, as_json, "no tokens yet; add one with: emailsys token add ADDRESS --scope SCOPE")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a token as the table shows it."""
    return {
        **row,
        "account": row["account"] or "(operators)",
        "scopes": " ".join(row["scopes"]),
        "label": row["label"] or None,
        "created": shown_time(row["created"]),
        "expires": shown_time(row["expires"]),
    }


def _token_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of the tokens, for completion. An error means that there are none."""
    try:
        # The shell shows standard error in the middle of the line that is typed.
        with contextlib.redirect_stderr(io.StringIO()):
            rows = administer(choose_places(ctx.params.get("state"), ctx.params.get("config")), TokenList())
    except Exception:
        return []
    return [
        CompletionItem(row["token"], help=row["label"] or row["account"] or "operators")
        for row in rows
        if row["token"].startswith(incomplete)
    ]


@token.command("remove")
@click.argument("token_id", metavar="ID", shell_complete=_token_ids)
@as_json
@places
def remove(where: Places, token_id: str, as_json: bool) -> None:
    """Remove the token with this ID, the 12 digits that `token list` shows. It is refused from then on."""
    row = administer(where, TokenRemove(token_id))
    print_done(row, as_json, f"removed token {token_id} of {row['account'] or 'the operators'}")
