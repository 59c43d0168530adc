"""Verbs that show one message: show, headers, raw, attachments and save."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from emailsys.cli.mail.arguments import key_argument, message_of
from emailsys.cli.mail.safe_output import flag_names, print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit


@click.command()
@key_argument
@click.option("--html", is_flag=True, help="Show the HTML part as text, if the message has one.")
@click.option("--part", "number", metavar="NUMBER", help="Show one part, such as 1.2. `structure` lists them.")
@click.option("--all-headers", "every", is_flag=True, help="Show all header fields, not only the usual ones.")
@click.option("--keep-unread", is_flag=True, help="Do not mark the message as read.")
@as_json
@pass_session
def show(
    session: Session, key: str, html: bool, number: str | None, every: bool, keep_unread: bool, as_json: bool
) -> None:
    """Show a message as text, and mark it as read.

    The output is safe for a terminal. Nothing is loaded from the network.

    \b
    emailsys mail show KEY
    emailsys mail show KEY --html --keep-unread
    emailsys mail show KEY --part 1.2                  (a message inside, a report, a text)
    emailsys mail show KEY --json | jq -r .body
    """
    from emailsys.cli.mail.protection_fields import layer_fields
    from emailsys.client.archive.values import ArchiveFull, Flag
    from emailsys.client.display.readable import readable_headers, readable_view

    summary = message_of(session, key)
    archive = session.mailbox.archive
    octets = archive.octets(summary.key)
    seen = readable_view(archive.root, summary.key, octets, html, number, session.mailbox.opener(ask=True))
    if seen is None:
        raise Refused(f"The message has no part {number}. `emailsys mail structure {key}` lists them.", Exit.NO_INPUT)
    fields = readable_headers(archive.root, summary.key, octets) if every else seen.headers
    if as_json:
        print_json(
            {
                "key": summary.key,
                "account": summary.folder.account,
                "folder": summary.folder.name,
                "flags": flag_names(summary.flags),
                "tags": list(summary.tags),
                "headers": [list(field) for field in fields],
                "body": seen.body,
                "attachments": [
                    {"part": one.number, "name": one.name, "type": one.content_type, "octets": one.octets}
                    for one in seen.attachments
                ],
                "defects": list(seen.defects),
                "warnings": list(seen.warnings),
                "notes": list(seen.notes),
                "protection": [layer_fields(layer) for layer in seen.protection],
            }
        )
    else:
        terminal = sys.stdout.isatty()
        for name, value in fields:
            click.echo(f"{click.style(name + ':', bold=True) if terminal else name + ':'} {value}")
        for warning in seen.warnings:
            click.echo(f"Warning: {warning}")
        for note in seen.notes:
            click.echo(f"Checked: {note}")
        click.echo("")
        if seen.body:
            click.echo(seen.body.rstrip("\n"))
        if seen.attachments:
            click.echo("")
        for one in seen.attachments:
            click.echo(f"[attachment {one.number}: {one.name}, {one.kind}]")
        for defect in seen.defects:
            tell(f"defect: {defect}")
    if summary.is_unread and not keep_unread:
        try:
            archive.set_flags([summary.key], add=Flag.SEEN)
        except ArchiveFull as error:
            tell(f"The message stays unread: {error}")


@click.command()
@key_argument
@as_json
@pass_session
def headers(session: Session, key: str, as_json: bool) -> None:
    """Show every header field in order, decoded.

    \b
    emailsys mail headers KEY
    """
    from emailsys.client.display.readable import readable_headers

    archive, found = session.mailbox.archive, message_of(session, key).key
    fields = readable_headers(archive.root, found, archive.octets(found))
    if as_json:
        print_json([list(field) for field in fields])
        return
    for name, value in fields:
        click.echo(f"{name}: {value}")


@click.command()
@key_argument
@pass_session
def raw(session: Session, key: str) -> None:
    """Print a message exactly as it was received. On a terminal, unsafe characters are replaced.

    \b
    emailsys mail raw KEY > message.eml
    """
    octets = session.mailbox.archive.octets(message_of(session, key).key)
    if sys.stdout.isatty():
        from emailsys.client.display.message import raw as safe_raw

        click.echo(safe_raw(octets))
        return
    _to_stdout(octets)


@click.command()
@key_argument
@as_json
@pass_session
def attachments(session: Session, key: str, as_json: bool) -> None:
    """List the attachments of a message with part number, name, type and size.

    \b
    emailsys mail attachments KEY
    """
    from emailsys.client.display.message import attachments as found_in

    octets = session.mailbox.archive.octets(message_of(session, key).key)
    found = found_in(octets, session.mailbox.opener(ask=True))
    rows = [
        {"part": one.number, "name": one.name, "type": one.content_type, "octets": one.octets, "inline": one.inline}
        for one in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "The message has no attachments.")


@click.command()
@key_argument
@click.argument("which", nargs=-1)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to save in. Default: the current folder.",
)
@click.option(
    "--all",
    "all_into",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Save all attachments into this folder.",
)
@click.option("--stdout", "to_stdout", is_flag=True, help="Write the octets of one attachment to standard output.")
@as_json
@pass_session
def save(
    session: Session,
    key: str,
    which: tuple[str, ...],
    folder: Path,
    all_into: Path | None,
    to_stdout: bool,
    as_json: bool,
) -> None:
    """Save attachments: all, or those that you name by file name, and any part by its number. Never overwrites a file.

    \b
    emailsys mail save KEY --all ~/Downloads
    emailsys mail save KEY report.pdf --to ~/Downloads
    emailsys mail save KEY 1.2 --stdout | less
    """
    from emailsys.client.display.message import attachments as found_in
    from emailsys.client.display.message import find_part, save_attachment
    from emailsys.client.opening.paths import folder_for

    if all_into is not None and (which or to_stdout):
        raise Refused("--all saves all attachments: name none, and leave out --stdout.", Exit.USAGE)
    octets = session.mailbox.archive.octets(message_of(session, key).key)
    opener = session.mailbox.opener(ask=True)
    found = found_in(octets, opener)
    for word in which:
        if any(word == one.number for one in found):
            continue
        part = find_part(octets, word, opener)
        if part is not None:
            found.append(part)
        elif all(word != one.name for one in found):
            there = ", ".join(f"{one.number} {one.name}" for one in found) or "none"
            raise Refused(f"The message has no attachment {word!r}. It has: {there}", Exit.NO_INPUT)
    # A sender chooses the names of files, and "1.3" is a name: numbers come first.
    names = set(which).difference(one.number for one in found)
    chosen = [one for one in found if not which or one.number in which or one.name in names]
    if not chosen:
        raise Refused(f"The message {key} has no attachments.", Exit.NO_INPUT)
    if to_stdout:
        if len(chosen) != 1:
            raise Refused(
                f"--stdout writes one attachment, but {len(chosen)} were chosen. Name one by its part number.",
                Exit.USAGE,
            )
        _to_stdout(chosen[0].content())
        return
    folder = folder_for(str(folder if all_into is None else all_into))
    paths = [save_attachment(one, folder) for one in chosen]
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            click.echo(str(path))


def _to_stdout(octets: bytes) -> None:
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()
