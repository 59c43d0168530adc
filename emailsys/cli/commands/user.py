"""The commands for accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.bulk_accounts import add_accounts
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import ADDRESS, ADDRESS_OR_DOMAIN, SINGLE, Places, as_json, if_missing, places
from emailsys.cli.output import print_done, print_rows
from emailsys.cli.password import Source, ask_password, min_password_length, new_credentials, password_options
from emailsys.cli.quota import quota_octets, quota_text, shown_share
from emailsys.config.exit_status import Exit
from emailsys.control.requests import (
    UserAdd,
    UserEnabled,
    UserForward,
    UserList,
    UserMaySendAs,
    UserPassword,
    UserQuota,
    UserRemove,
)
from emailsys.mail.address import Address, parse

_EXAMPLES: Final = """
emailsys user add alice@example.org                                       you are asked for the password
emailsys user add bob@example.org --password-stdin < file
emailsys user add carol@example.org --password-command 'pass show mail/carol'
emailsys user add bob@example.org --password-stdin --if-missing < file     for scripts that run again
emailsys user add --file accounts.txt                                     a line for each: address, space, password
emailsys user list example.org
emailsys user password alice@example.org
emailsys user quota bob@example.org 2GiB                                  or `none`, or `default`
emailsys user may-send-as bob@example.org sales@example.org @example.net  besides his own addresses
emailsys user may-send-as scanner@example.org --any                       a gateway: as anybody
emailsys user forward bob@example.org bob@elsewhere.example               the maildrop keeps a copy
emailsys user forward bob@example.org bob@elsewhere.example --no-copy     or `--none`: forward no more
emailsys user disable bob@example.org                                     no login; mail is still received
emailsys user enable bob@example.org
emailsys user remove bob@example.org --purge                              also the mail in the maildrop
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def user() -> None:
    """Add, list, change and remove accounts. Each account has a login and a maildrop."""


@user.command("add")
@click.argument("address", type=ADDRESS, required=False)
@click.option(
    "--file",
    type=click.File("rb"),
    help="Add all accounts of a file, `-` for standard input. Each line has an address, a space, and the password, or "
    "a hash such as {SHA512-CRYPT}$6$salt$hash. Or JSON objects with address and password, or address and hash.",
)
@if_missing
@password_options
@as_json
@places
def add(
    where: Places,
    address: Address | None,
    file: BinaryIO | None,
    source: Source,
    if_missing: bool,
    as_json: bool,
) -> int:
    """Add an account, or with --file many accounts.

    You are asked for the password, or name a source for it; it is never an argument. If a line of the file cannot be
    used, its number and the reason are printed, the others are added, and the exit status is 65.
    """
    if (address is None) == (file is None):
        raise click.UsageError("Name an address, or a file with --file FILE, not both.")
    if file is not None:
        if source.stdin or source.command is not None:
            raise click.UsageError("The file has the passwords: leave out --password-stdin and --password-command.")
        if if_missing:
            raise click.UsageError(SINGLE)
        return add_accounts(where, file, as_json)
    assert address is not None
    if if_missing:
        row = next((row for row in administer(where, UserList(address.domain)) if _is_of(row, address)), None)
        if row is not None:
            exists = {"address": row["address"], "enabled": row["enabled"]}
            print_done(exists, as_json, f"{address} exists already; nothing was changed")
            return Exit.OK
    if source.asks:
        # Check the domain before the user types a password twice.
        administer(where, UserList(address.domain))
    credentials = new_credentials(address, ask_password(source, address), min_password_length(where))
    administer(where, UserAdd(address, credentials))
    print_done({"address": str(address), "enabled": True}, as_json, f"added {address}")
    return Exit.OK


def _is_of(row: dict[str, Any], address: Address) -> bool:
    return parse(row["address"]).key == address.key


@user.command("list")
@click.argument("domain", required=False)
@as_json
@places
def list_(where: Places, domain: str | None, as_json: bool) -> None:
    """List the accounts of DOMAIN, or of all domains, with the size of their mail and their quota."""
    rows = administer(where, UserList(domain))
    if not as_json:
        rows = [_shown(row) for row in rows]
    print_rows(rows, as_json, "no users yet; add one with: emailsys user add ADDRESS")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an account as the table shows it."""
    fields = {**row, "used": shown_share(row["used"])}
    keeps_copy = fields.pop("keeps_copy")
    fields["forward"] = ", ".join(row["forward"]) + ("" if keeps_copy else " (no copy)") or None
    return fields


@user.command("remove")
@click.argument("address", type=ADDRESS)
@click.option("--purge", is_flag=True, help="Also delete the mail in the maildrop. This cannot be undone.")
@as_json
@places
def remove(where: Places, address: Address, purge: bool, as_json: bool) -> None:
    """Remove an account. If its maildrop has mail, --purge is required."""
    administer(where, UserRemove(address, purge))
    print_done({"removed": str(address)}, as_json, f"removed {address}")


@user.command("password")
@click.argument("address", type=ADDRESS)
@password_options
@as_json
@places
def password(where: Places, address: Address, source: Source, as_json: bool) -> None:
    """Change the password of an account. The old password stops working at once."""
    credentials = new_credentials(address, ask_password(source, address), min_password_length(where))
    administer(where, UserPassword(address, credentials))
    print_done({"address": str(address)}, as_json, f"changed the password of {address}")


def _switch(enabled: bool, done: str) -> Callable[..., Any]:
    @click.argument("address", type=ADDRESS)
    @as_json
    @places
    def command(where: Places, address: Address, as_json: bool) -> None:
        administer(where, UserEnabled(address, enabled))
        print_done({"address": str(address), "enabled": enabled}, as_json, f"{done} {address}")

    return command


user.command("disable", help="Forbid the login of an account. Its mail is still received and kept.")(
    _switch(False, "disabled")
)
user.command("enable", help="Allow the login of a disabled account again.")(_switch(True, "enabled"))


@user.command("quota")
@click.argument("address", type=ADDRESS)
@click.argument("size")
@as_json
@places
def quota(where: Places, address: Address, size: str, as_json: bool) -> None:
    """Limit the mail in the maildrop of an account.

    SIZE is a size such as 2GiB, `none` (or 0) for no limit, or `default` for store.default_quota of the configuration.
    """
    octets = quota_octets(size)
    administer(where, UserQuota(address, octets))
    print_done({"address": str(address), "quota": octets}, as_json, quota_text(str(address), octets, size))


@user.command("may-send-as")
@click.argument("address", type=ADDRESS)
@click.argument("senders", type=ADDRESS_OR_DOMAIN, nargs=-1, metavar="[SENDER]...")
@click.option(
    "--any", "any_sender", is_flag=True, help="Allow all senders, and do not check the From field. For gateways."
)
@click.option("--remove", is_flag=True, help="Take the permission back.")
@as_json
@places
def may_send_as(
    where: Places, address: Address, senders: tuple[Address, ...], any_sender: bool, remove: bool, as_json: bool
) -> None:
    """Allow an account to send from SENDERs, besides the addresses that it receives mail for.

    SENDER is an address, of this system or not, or @DOMAIN for all addresses of a domain. Without SENDER and --any, the
    permissions of the account are printed.
    """
    asked = (*senders, Address("", "")) if any_sender else senders
    if remove and not asked:
        raise click.UsageError("--remove needs a SENDER or --any")
    row = administer(where, UserMaySendAs(address, asked, remove))
    also = ["anybody"] if row["any"] else row["may_send_as"]
    print_done(row, as_json, f"{address} may send from its own addresses and as: {', '.join(also) or 'nobody else'}")


@user.command("forward")
@click.argument("address", type=ADDRESS)
@click.argument("targets", type=ADDRESS, nargs=-1)
@click.option("--no-copy", is_flag=True, help="Keep no copy in the maildrop of the account.")
@click.option("--none", is_flag=True, help="Stop forwarding the mail of the account.")
@as_json
@places
def forward(
    where: Places, address: Address, targets: tuple[Address, ...], no_copy: bool, none: bool, as_json: bool
) -> None:
    """Forward the mail of an account to TARGETS, here or on other systems. They replace earlier targets.

    The maildrop of the account keeps a copy unless you give --no-copy. If no target can receive the mail, for example
    because two accounts forward to each other, the maildrop keeps it.
    """
    if bool(targets) == none or (none and no_copy):
        raise click.UsageError("Name one or more targets, or use --none.")
    administer(where, UserForward(address, targets or None, not no_copy))
    done = {"address": str(address), "forward": list(map(str, targets)), "keeps_copy": not no_copy}
    if none:
        words = f"the mail of {address} is forwarded no more"
    else:
        copy = "without a copy" if no_copy else "with a copy in its maildrop"
        words = f"the mail of {address} is forwarded to {', '.join(map(str, targets))}, {copy}"
    print_done(done, as_json, words)
