"""The command with which users change their own password, through a submission server."""

from __future__ import annotations

import base64
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from emailsys.cli.command_group import examples
from emailsys.cli.options import ADDRESS, Refused, as_json
from emailsys.cli.output import print_done
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account, Server

_EXAMPLES: Final = """
emailsys password alice@example.org                            the server is that of `emailsys mail`
emailsys password alice@example.org --server mail.example.org  port 465, or HOST:587 for STARTTLS
"""
# Seconds for each reply. Two hashes may wait behind those of many logins.
_TIMEOUT: Final = 60.0


@click.command(epilog=examples(_EXAMPLES))
@click.argument("address", type=ADDRESS)
@click.option("--server", metavar="HOST[:PORT]", help="Submission server. Default: that of emailsys mail.")
@click.option("--security", type=click.Choice(["tls", "starttls"]), help="Default: depends on the port.")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM file of the CAs to trust."
)
@click.option(
    "--passwords-stdin", is_flag=True, help="Read the old password from the first line of standard input, then the new."
)
@as_json
def password(
    address: Address,
    server: str | None,
    security: str | None,
    ca_file: Path | None,
    passwords_stdin: bool,
    as_json: bool,
) -> None:
    """Change your own password. You are asked for the old one and, twice, for the new one.

    The command logs in to the submission server with TLS, so it works from any machine, and needs no rights on the
    server. Operators use `emailsys user password`.
    """
    account = _mail_account(address)
    where = _server(account, address, server, security, ca_file)
    old, new = _passwords(address, passwords_stdin)
    _change(where, old, new)
    print_done({"address": str(address), "server": str(where)}, as_json, f"changed the password of {address}")
    if account is not None:
        _keep(account, new)


def _mail_account(address: Address) -> Account | None:
    from emailsys.client.accounts.file import AccountsFile
    from emailsys.client.accounts.values import AccountError
    from emailsys.client.base.locations import accounts_file

    try:
        return AccountsFile(accounts_file()).find(str(address))
    except AccountError:
        return None


def _keep(account: Account, new: str) -> None:
    """Replace the password of an account of emailsys mail in the keyring, if it is there."""
    from emailsys.client.accounts.blocking_secrets import run_here, run_to_completion
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.accounts.values import AccountError, SecretKind

    for server in (account.pop3, account.smtp):
        if server is not None and server.secret.kind is SecretKind.KEYRING:
            try:
                run_to_completion(Secrets(run_here).keep(account, server, new))
            except AccountError as error:
                click.echo(f"emailsys: {error}. emailsys mail will ask for it.", err=True)
                return


def _server(
    account: Account | None, address: Address, named: str | None, security: str | None, ca_file: Path | None
) -> Server:
    from dataclasses import replace

    from emailsys.client.accounts.values import SUBMISSIONS_PORT, Security, Server

    if named is None:
        if account is None or account.smtp is None:
            raise Refused(f"emailsys mail has no account {address}; add --server HOST[:PORT]", Exit.USAGE)
        if account.smtp.fingerprint:
            raise Refused("the account trusts one certificate only; add --server and --ca-file", Exit.USAGE)
        return replace(account.smtp, ca_file=ca_file or account.smtp.ca_file)
    host, colon, port = named.rpartition(":")
    if not colon or named.endswith("]"):
        host, port = named, str(SUBMISSIONS_PORT)
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise Refused(f"--server: {named!r} is not HOST or HOST:PORT", Exit.USAGE)
    by_port = Security.TLS if int(port) == SUBMISSIONS_PORT else Security.STARTTLS
    return Server(host.strip("[]"), int(port), Security(security or by_port), str(address), ca_file=ca_file)


def _passwords(address: Address, from_stdin: bool) -> tuple[str, str]:
    if from_stdin:
        try:
            lines = sys.stdin.buffer.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise Refused("the passwords from standard input are not UTF-8") from None
        if len(lines) < 2 or not all(lines[:2]):
            raise Refused("standard input must have two lines: the old password, and the new one", Exit.USAGE)
        return lines[0], lines[1]
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask for the passwords; use --passwords-stdin", Exit.USAGE)
    old = click.prompt(f"Old password of {address}", hide_input=True, err=True)
    new = click.prompt("New password", hide_input=True, confirmation_prompt="Repeat the new password", err=True)
    return old, new


def _change(server: Server, old: str, new: str) -> None:
    """Log in with the old password, and send both.

    @raise Refused: the server cannot be reached, or refuses.
    """
    from emailsys.cli.tryout.dialogue import Dialogue, DialogueFailed, Transcript, dialogue
    from emailsys.client.accounts.values import Security
    from emailsys.mail.ip import is_loopback

    if server.security is Security.NONE and server.host != "localhost" and not is_loopback(server.host):
        raise Refused(f"{server} is used without TLS, so the passwords could be read on the way", Exit.USAGE)

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    def ask(talk: Dialogue, line: str, shown: str) -> None:
        talk.say(line, shown)
        answer = talk.reply("").splitlines()[-1]
        if answer[:1] != "2":
            status = Exit.TEMPORARY if answer[:1] == "4" else Exit.NO_PERMISSION if answer[:3] == "535" else Exit.DATA
            raise Refused(f"{server} refused {shown}: {answer[4:]}", status)

    try:
        with dialogue(server.host, server.port, Transcript("password"), _TIMEOUT) as talk:
            context = ssl.create_default_context(cafile=None if server.ca_file is None else str(server.ca_file))
            if server.security is Security.TLS:
                talk.start_tls(context, server.host)
            talk.reply("220")
            talk.ask("EHLO localhost", "250")
            if server.security is Security.STARTTLS:
                talk.ask("STARTTLS", "220")
                talk.start_tls(context, server.host)
                talk.ask("EHLO localhost", "250")
            ask(talk, f"AUTH PLAIN {encoded(chr(0) + server.username + chr(0) + old)}", "the old password")
            ask(talk, f"XPASSWORD {encoded(old)} {encoded(new)}", "the new password")
            talk.say("QUIT")
    except DialogueFailed as error:
        raise Refused(str(error), Exit.UNAVAILABLE) from None
