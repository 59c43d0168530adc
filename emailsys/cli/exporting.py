"""Pages that commands write: the option --export, and the file."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

import click

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

#: Where to write the page of a command, None for nowhere.
export_option = click.option(
    "--export",
    "page",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE.html",
    help="Write one HTML page that needs no network and no script; - for standard output.",
)


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all. Only its owner can read it, because it may hold mail.

    An existing file is replaced. What is no regular file, such as /dev/stdout, is written to as it is.

    @raise Refused: the file cannot be written.
    """
    octets = page.encode("utf-8")
    if str(path) == "-":
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
        return
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(octets)
            return
        _replace(path.resolve(), octets)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}", Exit.IO) from None


def _replace(path: Path, octets: bytes) -> None:
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        # Windows translates line ends without O_BINARY.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(draft, flags, 0o600), "wb") as file:
            file.write(octets)
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
