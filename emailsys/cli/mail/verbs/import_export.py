"""Verbs for files: import, export and reindex."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from emailsys.cli.mail.arguments import account_option, folder_argument, folder_of, messages_of
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.client.text.terminal import safe_line
from emailsys.config.exit_status import Exit

_RESUMES: Final = "If the import is interrupted, repeat the command. It continues where it stopped."


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "folder", default="Inbox", show_default=True, metavar="FOLDER", help="Folder to import into.")
@account_option
@click.option("--form", type=click.Choice(["maildir", "mbox", "eml"]), help="Default: detected from the content.")
@as_json
@pass_session
def import_(
    session: Session, paths: tuple[Path, ...], folder: str, account: str | None, form: str | None, as_json: bool
) -> int:
    """Import messages from maildirs, mbox files, .eml files, or folders of these, octet for octet.

    \b
    emailsys mail import ~/Maildir
    emailsys mail import old.mbox --to Archive

    A folder is imported with its subfolders: files named .eml and .mbox, and maildirs.
    The subfolders of a maildir (Maildir++) become folders of the account. MMDF files are refused.
    Files that cannot be read are named and left out, and the exit status is 74.
    Messages that were imported before are skipped. If an import is interrupted, repeat the command.
    """
    # Before the store is opened and other modules are loaded: the process shares neither.
    reading = session.start_import_reader()
    from emailsys.client.archive.import_export import Importer
    from emailsys.client.archive.values import ArchiveError, UnknownFormat
    from emailsys.client.display.list_text import message_count

    target = folder_of(session, folder, account)
    into = f"{target.account}/{target.name}"
    is_first = True

    def progress(number: int) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            tell(f"{message_count(number)} imported so far. {_RESUMES}")
        elif sys.stderr.isatty():
            click.echo(f"\r{message_count(number)} so far", err=True, nl=False)

    importing = Importer(session.mailbox.archive, target, progress, reading)
    try:
        for path in paths:
            importing.import_path(path, form)
        session.mailbox.archive.shrink_log()
    except KeyboardInterrupt:
        tell(f"{message_count(importing.added)} imported into {into} so far. {_RESUMES}")
        raise
    except UnknownFormat as error:
        before = f" {message_count(importing.added)} imported into {into} before that." if importing.added else ""
        raise UnknownFormat(f"{error}.{before}") from error
    except ArchiveError as error:
        kept = f"{message_count(importing.added)} imported into {into} before that"
        raise type(error)(f"{error}; {kept}. {_RESUMES}") from error
    if as_json:
        print_json(
            {
                "messages": importing.added,
                "here_already": importing.already_stored,
                "account": target.account,
                "folder": target.name,
                "by_subfolder": importing.by_subfolder,
                "left_out": importing.left_out,
            }
        )
    here = f" Skipped {message_count(importing.already_stored)} imported before." if importing.already_stored else ""
    tell(f"{message_count(importing.added)} imported into {into}.{here}")
    for name, number in importing.by_source.items() if len(importing.by_source) > 1 else ():
        tell(safe_line(f"{message_count(number)} from {name}"))
    for problem in importing.left_out:
        tell(safe_line(f"Not imported: {problem}"))
    for name, number in importing.by_subfolder.items():
        tell(f"{message_count(number)} of these from a subfolder, in {into.partition('/')[0]}/{name}.")
    return Exit.IO if importing.left_out else Exit.OK


@click.command()
@click.argument("form", type=click.Choice(["maildir", "mbox", "eml"]))
@click.argument("target", type=click.Path(path_type=Path))
@folder_argument("folder", required=False)
@account_option
@click.option(
    "--key", "keys", multiple=True, help='Export only this message. Repeatable. "-" reads keys from standard input.'
)
@as_json
@pass_session
def export(
    session: Session,
    form: str,
    target: Path,
    folder: str | None,
    account: str | None,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Export the messages of FOLDER (default: Inbox), or those of --key, to TARGET. An existing mbox is extended.

    \b
    emailsys mail export mbox archive.mbox Archive
    emailsys mail search --keys tag:invoice | emailsys mail export eml invoices/ --key -
    """
    from emailsys.client.archive.import_export import export_eml, export_maildir, export_mbox
    from emailsys.client.display.list_text import message_count

    archive = session.mailbox.archive
    if keys and folder is not None:
        raise Refused("Name a FOLDER or use --key, but not both.", Exit.USAGE)
    if keys:
        chosen = [one.key for one in messages_of(session, keys)]
    else:
        source = folder_of(session, folder, account)
        chosen, below = [], None
        while page := archive.list(source, 1000, below):
            chosen += [one.key for one in page]
            below = page[-1].order
        chosen.reverse()
    write = {"maildir": export_maildir, "mbox": export_mbox, "eml": export_eml}[form]
    number = write(archive, chosen, target.expanduser())
    if as_json:
        print_json({"messages": number, "target": str(target)})
    tell(f"{message_count(number)} exported to {target}.")


@click.command()
@as_json
@pass_session
def reindex(session: Session, as_json: bool) -> None:
    """Rebuild the index from the message files. Flags and tags are kept.

    \b
    emailsys mail reindex
    """
    from emailsys.client.display.list_text import message_count

    def progress(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done:,} of {message_count(of)}", err=True, nl=done == of)

    number = session.mailbox.archive.rebuild(progress)
    if as_json:
        print_json({"messages": number})
    tell(f"The index has {message_count(number)}.")
