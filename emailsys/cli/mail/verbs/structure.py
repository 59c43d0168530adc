"""Verb that shows how a message is built: its MIME tree, on the terminal, as JSON or as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from emailsys.cli.exporting import export_option, write_page
from emailsys.cli.mail.arguments import message_of
from emailsys.cli.mail.completions import complete_keys
from emailsys.cli.mail.safe_output import print_json, print_safe_rows
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.mail.message.structure import Row

# Octets of a message that is read from a file: a device would never end.
_LARGEST: Final = 512 * 1024 * 1024


@click.command()
@click.argument("key", required=False, shell_complete=complete_keys)
@click.option(
    "--file", "source", type=click.File("rb"), metavar="FILE", help="A message in a file instead; - for standard input."
)
@export_option
@as_json
@pass_session
def structure(session: Session, key: str | None, source: BinaryIO | None, page: Path | None, as_json: bool) -> None:
    """Show the MIME parts of a message, and its defects.

    For each part: type, charset, encoding, raw and decoded octets, overhead of the encoding, and the images that the
    HTML shows. With --export, a page draws them, and the hosts that the message went through.

    \b
    emailsys mail structure KEY
    emailsys mail structure KEY --json | jq '.[].defects'
    emailsys mail structure KEY --export message.html
    emailsys mail structure --file message.eml
    """
    from emailsys.client.display.readable import readable_headers, readable_structure

    if (key is None) is (source is None):
        raise Refused("Name one message: its key, or --file with a file.", Exit.USAGE)
    if as_json and str(page) == "-":
        raise Refused("--json and --export - would both write to standard output.", Exit.USAGE)
    if source is not None:
        name, octets = "", _read(source)
    else:
        name = message_of(session, str(key)).key
        octets = session.mailbox.archive.octets(name)
    root = session.mailbox.paths.archive
    rows = readable_structure(root, name, octets, session.mailbox.opener(ask=True))
    if page is not None:
        from emailsys.cli.mail.message_page import message_page

        write_page(page, message_page(rows, readable_headers(root, name, octets)))
    if as_json:
        names = [*type(rows[0]).__dataclass_fields__]
        print_json([{name: getattr(row, name) for name in names} for row in rows])
    elif page is None:
        _print(rows)


def _read(source: BinaryIO) -> bytes:
    octets = source.read(_LARGEST + 1)
    if len(octets) > _LARGEST:
        raise Refused(f"The message has more than {_LARGEST:,} octets.", Exit.DATA)
    return octets


def _print(rows: Sequence[Row]) -> None:
    print_safe_rows(
        [
            {
                "part": row.number,
                "type": "  " * row.level * sys.stdout.isatty() + row.content_type,
                "charset": row.charset or None,
                "encoding": row.encoding,
                "raw": row.raw_octets,
                "decoded": row.decoded_octets,
                "overhead": None if row.overhead is None else f"{row.overhead:+.1f}%",
                "name": row.name or None,
                "content-id": row.content_id or None,
                "shows": ", ".join(row.links) or None,
            }
            for row in rows
        ],
        "The message has no parts.",
    )
    for row in rows:
        for kind, said in (("defect", row.defects), ("note", row.notes)):
            for one in said:
                click.echo(f"part {row.number}: {one}" if sys.stdout.isatty() else f"{kind}\t{row.number}\t{one}")
