"""The commands `apply` and `export`: a file declares domains, accounts, aliases and routes."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.command_group import examples
from emailsys.cli.declared.difference import Difference, differences, ordered
from emailsys.cli.declared.directory import Account, Directory, Route
from emailsys.cli.declared.purging import purges_last, why_refused
from emailsys.cli.declared.reading import Malformed, of_store, parse_file
from emailsys.cli.declared.writing import as_json as json_of
from emailsys.cli.declared.writing import as_toml
from emailsys.cli.exporting import write_page
from emailsys.cli.options import NoStore, Places, Refused, as_json, places
from emailsys.cli.output import print_done
from emailsys.cli.password import MAX_LENGTH, min_password_length, new_credentials
from emailsys.config.exit_status import Exit
from emailsys.control.control_socket import MAX_REQUEST_OCTETS
from emailsys.control.directory_requests import DirectoryChange, DirectoryRead, password_digest
from emailsys.control.requests import Request, UserList, UserRemove
from emailsys.mail.address import domain_key
from emailsys.mail.quantities import counted

# Requests in one transaction, which delays other mail by about 50 ms, and octets of their request.
_STEPS_AT_ONCE: Final = 100
_OCTETS_AT_ONCE: Final = MAX_REQUEST_OCTETS // 2

_EXAMPLES: Final = """
emailsys apply mail.toml                          shows the difference and asks
emailsys apply mail.toml --yes                    for scripts: a second run changes nothing
emailsys apply mail.toml --check                  changes nothing; status 1 if there is a difference
emailsys apply mail.toml --prune                  also removes what the file does not name
emailsys apply mail.toml --passwords              also sets the passwords of accounts that exist
"""
_EXPORT_EXAMPLES: Final = """
emailsys export mail.toml                         hashes, never passwords; only you can read the file
emailsys export mail.json
emailsys export - | ssh other emailsys apply - --yes
"""


@click.command("apply", epilog=examples(_EXAMPLES))
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check", is_flag=True, help="Change nothing. The exit status is 1 if there is a difference.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove what FILE does not name, of the kinds (domains, accounts, aliases, routes) that it has. Quotas, "
    "forwards and delegated senders that it does not name are reset.",
)
@click.option("--purge", is_flag=True, help="With --prune: also delete the mail of accounts that are removed.")
@click.option("--passwords", is_flag=True, help="Also set the passwords of accounts that exist already.")
@as_json
@places
def apply(
    where: Places, file: BinaryIO, yes: bool, check: bool, prune: bool, purge: bool, passwords: bool, as_json: bool
) -> int:
    """Make domains, accounts, aliases and routes as FILE declares them, in TOML or JSON; `-` is standard input.

    The difference is shown first. What FILE does not name stays as it is. Accounts have a `hash` or a `password_file`,
    which counts when the account is added: later, users may change their passwords.
    """
    if purge and not prune:
        raise click.UsageError("--purge needs --prune.")
    wanted = _read(file)
    if wanted is None:
        return Exit.DATA
    store = _stored(where)
    found = _compare(where, store, wanted, prune, passwords)
    removed = [step.address for each in found for _, step in each.steps if isinstance(step, UserRemove)]
    mail = _mail_of(where, {str(address): address.domain for address in removed})
    if not as_json:
        _show(found, mail)
    untold = not passwords and _names_passwords(store, wanted)
    if not found:
        _tell(as_json, [], 0, "nothing to change" + (_UNCOMPARED if untold else ""))
        return Exit.OK
    if check:
        _tell(as_json, found, 0, f"{counted(len(found), 'difference')}; nothing was changed")
        return Exit.FAILED
    if mail and not purge:
        full = ", ".join(f"{name} ({counted(count, 'message')})" for name, count in mail.items())
        raise Refused(
            f"accounts to remove have mail: {full}. Use --purge to delete the mail, too. Nothing was changed."
        )
    if mail and (why := why_refused(store, found)) is not None:
        raise Refused(f"{why}. Nothing was changed.")
    if not yes:
        if not sys.stdin.isatty() or file.name in ("-", "<stdin>"):
            raise Refused("there is no terminal to ask for your consent; nothing was changed. Use --yes.", Exit.USAGE)
        if not click.confirm("Make these changes?", err=True):
            raise Refused("nothing was changed", Exit.OK)
    steps = ordered(found)
    _carry_out(where, purges_last(steps) if mail else steps, set(mail))
    _tell(as_json, found, len(found), f"{counted(len(found), 'change')} made")
    return Exit.OK


_UNCOMPARED: Final = "; passwords of accounts that exist were not compared (--passwords does)"


def _tell(as_json: bool, found: Sequence[Difference], made: int, words: str) -> None:
    print_done({"differences": [each.as_json() for each in found], "changed": made}, as_json, words)


def _show(found: Sequence[Difference], mail: dict[str, int]) -> None:
    for each in found:
        first, *rest = each.lines()
        count = mail.get(each.name) if each.kind == "account" else None
        click.echo(first + (f" with its {counted(count, 'message')}" if count else ""))
        for line in rest:
            click.echo(line)


def _read(file: BinaryIO) -> Directory | None:
    """Read the file, or tell its problems."""
    name = str(file.name)
    try:
        found = parse_file(file.read(), "standard input" if name == "-" else name, Path(name).parent)
    except Malformed as error:
        for problem in error.problems:
            click.echo(f"emailsys: {problem}", err=True)
        return None
    return found


def _stored(where: Places) -> Directory:
    try:
        return of_store(administer(where, DirectoryRead()))
    except NoStore:
        # The first domain makes the store, unless this folder had one before (decision 0023).
        return Directory()


def _names_passwords(store: Directory, wanted: Directory) -> bool:
    known = {each.address.key for each in store.accounts}
    return any(each.address.key in known and (each.credentials or each.password_file) for each in wanted.accounts)


def _compare(where: Places, store: Directory, wanted: Directory, prune: bool, passwords: bool) -> list[Difference]:
    stored = {each.address.key: each for each in store.accounts}
    known_domains = {domain_key(each.name) for each in store.domains}
    minimum: list[int] = []

    def credentials(account: Account) -> Sequence[tuple[str, str]]:
        if account.credentials:
            return account.credentials
        if account.password_file is None:
            raise Refused(f"{account.address} does not exist yet: declare a hash or a password_file for it")
        if not minimum:
            minimum.append(min_password_length(where))
        password = _password_in(account.password_file)
        try:
            return new_credentials(account.address, password, minimum[0])
        except Refused as error:
            raise Refused(f"{account.password_file}: {error.message}") from None

    def new_password(account: Account) -> Sequence[tuple[str, str]]:
        before = stored[account.address.key].credentials
        if account.password_file is not None:
            from emailsys.passwords import verify_password

            password = _password_in(account.password_file)
            if any(verify_password(secret, password) for _, secret in before):
                return before
        return credentials(account)

    for domain in wanted.domains:
        if domain.postmaster is None and domain_key(domain.name) not in known_domains:
            raise Refused(f"the domain {domain.name} does not exist yet: declare its postmaster")
    routes = tuple(_with_password(route, store) for route in wanted.routes)
    wanted = replace(wanted, routes=routes)
    return differences(store, wanted, credentials, new_password if passwords else None, prune)


def _with_password(route: Route, store: Directory) -> Route:
    """Return a route with its password, and with the digest of the store if that is the same password."""
    settings = route.settings
    if not settings.username:
        return route
    before = next((each for each in store.routes if each.key == route.key), None)
    if settings.password_file is None:
        if before is not None and before.settings == settings:
            return replace(route, digest=before.digest)
        raise Refused(f"the route to {settings.host} logs in as {settings.username}: declare a password_file for it")
    password = _password_in(settings.password_file)
    salt = before.digest[0] if before is not None and before.digest is not None else ""
    # The name of the file is no part of the store.
    settings = replace(settings, password=password, password_file=None)
    return Route(settings, (salt, password_digest(salt, password)))


def _password_in(path: Path) -> str:
    try:
        password = path.read_text("utf-8-sig").split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise Refused(f"{path}: the password is not UTF-8") from None
    if not 0 < len(password) <= MAX_LENGTH:
        raise Refused(f"{path}: the first line must be a password of at most {MAX_LENGTH} characters")
    return password


def _mail_of(where: Places, removed: dict[str, str]) -> dict[str, int]:
    """Return the accounts to remove that have mail, with the number of their messages."""
    rows = [row for domain in dict.fromkeys(removed.values()) for row in administer(where, UserList(domain))]
    return {row["address"]: row["messages"] for row in rows if row["address"] in removed and row["messages"]}


def _carry_out(where: Places, steps: Sequence[Request], purged: Container[str]) -> None:
    """Make the changes: in one transaction if they fit into one, and without the removal of mail.

    @param purged: accounts that have mail, which is deleted.
    @raise Refused: a step was refused. The message tells what was changed before.
    """
    parts: list[list[Request]] = [[]]
    octets = 0
    for step in steps:
        if isinstance(step, UserRemove) and str(step.address) in purged:
            parts += [[UserRemove(step.address, True)], []]
            octets = 0
            continue
        length = len(json.dumps(step.as_json()))
        if len(parts[-1]) == _STEPS_AT_ONCE or octets + length > _OCTETS_AT_ONCE:
            parts.append([])
            octets = 0
        parts[-1].append(step)
        octets += length
    done = 0
    for part in filter(None, parts):
        single = part[0] if isinstance(part[0], UserRemove) and part[0].purge else None
        try:
            administer(where, single or DirectoryChange(tuple(each.as_json() for each in part)))
        except Refused as error:
            if not done:
                raise
            told = f"{error.message}. Before that, {done} of {len(steps)} steps were made; run `apply` again."
            raise Refused(told, error.status) from None
        done += len(part)


@click.command("export", epilog=examples(_EXPORT_EXAMPLES))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@as_json
@places
def export(where: Places, file: Path, as_json: bool) -> None:
    """Write all domains, accounts, aliases and routes to FILE, as `apply` reads them; `-` is standard output.

    The file is JSON if its name ends with .json or with --json, else TOML. It has hashes, never passwords, and only
    you can read it.
    """
    directory = of_store(administer(where, DirectoryRead()))
    is_json = as_json or file.suffix == ".json"
    text = json_of(directory) if is_json else as_toml(directory)
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    write_page(file, text)
    count = counted(len(directory.accounts), "account")
    click.echo(f"exported {counted(len(directory.domains), 'domain')} and {count} to {file}", err=True)
