"""Verbs for accounts: add, list, show, default, remove and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.account_trial import account_fields, trial_fields, trial_text, try_account
from emailsys.cli.mail.arguments import account_arguments
from emailsys.cli.mail.completions import complete_accounts
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.mail.wire import wire_options
from emailsys.cli.options import ADDRESS, Refused, as_json
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.trial.result import TrialResult


@click.group(cls=Verbs)
def account() -> None:
    """Add, list, show, test and remove mail accounts.

    \b
    emailsys mail account add alice@example.org
    emailsys mail account test
    """


@account.command("add")
@click.argument("address", type=ADDRESS)
@click.option("--name", help="Name of the account and of its folder. Default: the address.")
@click.option(
    "--alias", "aliases", multiple=True, type=ADDRESS, help="Another address whose mail arrives here. Repeatable."
)
@click.option("--display-name", default="", metavar="NAME", help="Your name for the From field.")
@click.option("--signature", default="", metavar="TEXT", help="Text below the messages that you write.")
@click.option("--sign", is_flag=True, help="Sign all new messages with OpenPGP.")
@click.option(
    "--encrypt",
    type=click.Choice(["always", "when-possible", "never"]),
    default="never",
    show_default=True,
    help="When to encrypt new messages with OpenPGP.",
)
@click.option("--openpgp-key", metavar="FINGERPRINT", help="Your OpenPGP key. Default: the one with the address.")
@click.option("--pop3", metavar="HOST[:PORT]", help="POP3 server, or none. Default: found from the address.")
@click.option("--smtp", metavar="HOST[:PORT]", help="SMTP server, or none. Default: found from the address.")
@click.option("--pop3-security", type=click.Choice(["tls", "starttls", "none"]), help="Default: depends on the port.")
@click.option("--smtp-security", type=click.Choice(["tls", "starttls", "none"]), help="Default: depends on the port.")
@click.option("--username", help="User name for the login. Default: the address.")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM file of the CAs to trust."
)
@click.option("--fingerprint", metavar="SHA256", help="Trust only the certificate with this fingerprint.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, and save it in the keyring."
)
@click.option("--password-command", metavar="CMD", help="Command that prints the password. It is run for each login.")
@click.option("--token-command", metavar="CMD", help="Command that prints an XOAUTH2 token. It is run for each login.")
@click.option("--ask", is_flag=True, help="Ask for the password in each run, and never save it.")
@click.option(
    "--keep",
    default="leave",
    show_default=True,
    metavar="HOW",
    help="Fetched mail on the server: leave, delete, or the number of days to leave it.",
)
@click.option("--max-size", metavar="SIZE", help="Leave larger messages on the server: 500k, 2M.")
@click.option("--no-network", is_flag=True, help="Do not look up settings, and do not test the servers.")
@click.option("--force", is_flag=True, help="Add the account even if the test fails.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default account.")
@as_json
@pass_session
def add(session: Session, address: Address, force: bool, as_default: bool, as_json: bool, **options: Any) -> int:
    """Add an account: find its servers from the address, and test the login on both.

    The password is saved in the system's keyring, never in a file. With --password-command it is not saved at all.

    \b
    emailsys mail account add alice@example.org
    emailsys mail account add alice@example.org --password-command 'pass show mail/alice'
    emailsys mail account add alice@example.org --sign --encrypt when-possible
    emailsys mail account add alice@example.test --pop3 localhost:2995 --smtp localhost:2587 --ca-file ca.pem
    """
    from emailsys.cli.mail.account_setup import AccountSetup

    return AccountSetup(session, address, force=force, as_default=as_default, as_json=as_json, options=options).run()


@account.command("list")
@as_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List all accounts.

    \b
    emailsys mail account list
    emailsys mail account list --json
    """
    default = session.mailbox.accounts_file.default()
    rows = [
        {
            "account": one.name,
            "address": str(one.address),
            "pop3": str(one.pop3) if one.pop3 else None,
            "smtp": str(one.smtp) if one.smtp else None,
            "default": default is not None and one.name == default.name,
        }
        for one in session.mailbox.accounts()
    ]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "There is no account yet. Add one: emailsys mail account add you@example.org")


@account.command("show")
@click.argument("name", required=False, shell_complete=complete_accounts)
@as_json
@pass_session
def show(session: Session, name: str | None, as_json: bool) -> None:
    """Show the settings of an account, without passwords. Default: the default account.

    \b
    emailsys mail account show work
    """
    fields = account_fields(session.mailbox.account(name))
    if as_json:
        print_json(fields)
        return
    for key, value in fields.items():
        for part, text in value.items() if isinstance(value, dict) else [("", value)]:
            words = ", ".join(text) or "-" if isinstance(text, list) else "-" if text is None else text
            click.echo(f"{key}{'.' if part else ''}{part} = {words}")


@account.command("default")
@click.argument("name", shell_complete=complete_accounts)
@as_json
@pass_session
def default(session: Session, name: str, as_json: bool) -> None:
    """Make an account the default account, which verbs use if you name none.

    \b
    emailsys mail account default work
    """
    found = session.mailbox.account(name)
    session.mailbox.accounts_file.set_default(found.name)
    if as_json:
        print_json({"account": found.name, "default": True})
    tell(f"{found.name} is now the default account.")


@account.command("remove")
@click.argument("name", shell_complete=complete_accounts)
@click.option(
    "--keep-mail/--delete-mail",
    default=None,
    help="Keep the account's messages on this computer, or delete them. Default: ask; without a terminal, keep.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation. Keep the mail unless you give --delete-mail.")
@as_json
@pass_session
def remove(session: Session, name: str, keep_mail: bool | None, yes: bool, as_json: bool) -> None:
    """Remove an account, and its password from the keyring. Folders without messages go with it.

    \b
    emailsys mail account remove work
    emailsys mail account remove work --keep-mail --yes
    emailsys mail account remove work --delete-mail
    """
    from emailsys.cli.mail.account_removal import fate_of_mail, remove_mail
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.base.threads import threads_of

    found = session.mailbox.find_account(name)
    if not yes and not click.confirm(f"Remove the account {found.name}?", err=True):
        raise Refused("The account was not removed.", Exit.FAILED)
    session.mailbox.accounts_file.check_removal(found.name)
    fate = fate_of_mail(session, found, keep_mail, yes)

    async def forget(reactor: Any) -> None:
        secrets = Secrets(threads_of(reactor))
        for server in (found.pop3, found.smtp):
            if server is not None:
                await secrets.forget(server)

    # The account leaves the file last: if a step before it fails, the verb can be run again.
    stays = remove_mail(session, found, fate)
    session.run(forget)
    session.mailbox.accounts_file.remove(found.name)
    if as_json:
        print_json({"account": found.name, "removed": True, "mail": str(stays) if stays else None})
    tell(f"Removed the account {found.name}." + (f" Its mail stays in {stays}" if stays else ""))


@account.command("test")
@account_arguments
@wire_options
@as_json
@pass_session
def test(session: Session, accounts: tuple[str, ...], as_json: bool) -> int:
    """Test accounts: connection, TLS and login on both servers. Nothing is fetched or sent. Default: all accounts.

    \b
    emailsys mail account test
    emailsys mail account test work --json
    emailsys mail account test work --wire
    """
    from emailsys.cli.mail.secret_prompt import ask_secret
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.base.threads import threads_of

    chosen = [session.mailbox.account(name) for name in accounts] or session.mailbox.accounts()
    if not chosen:
        raise Refused("There is no account yet. Add one: emailsys mail account add you@example.org", Exit.CONFIG)

    async def work(reactor: Any) -> list[tuple[Account, TrialResult]]:
        secrets = Secrets(threads_of(reactor), ask_secret)
        return [(one, result) for one in chosen for result in await try_account(reactor, one, secrets, session)]

    results = session.run(work)
    if as_json:
        print_json([{"account": one.name, **trial_fields(result)} for one, result in results])
    else:
        for one, result in results:
            click.echo(f"{one.name} {trial_text(result)}")
    return Exit.OK if all(result.problem is None for _, result in results) else Exit.UNAVAILABLE
