"""Attachments from files, with the media type detected from name and content."""

from __future__ import annotations

import mimetypes
import re
import stat
from pathlib import Path
from typing import Final

from emailsys.client.compose.draft import Attachment, ComposeError
from emailsys.client.compose.header_fields import on_one_line

# First octets that identify a content, whatever the name says.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
_ZIP: Final = b"PK\x03\x04"
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_COMPRESSED: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# Kinds of files that are not read.
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
OCTETS: Final = "application/octet-stream"


def type_of(name: str, octets: bytes) -> str:
    """Return the media type of a file. A known content overrides the name. A text type requires UTF-8 text."""
    for magic, content_type in _MAGIC:
        if octets.startswith(magic):
            return content_type
    if octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        return "image/webp"
    guessed, compression = mimetypes.guess_type(name, strict=True)
    if compression:
        return _COMPRESSED.get(compression, OCTETS)
    is_text = _NOT_TEXT.search(octets) is None and _is_utf8(octets)
    if guessed is None:
        if octets.startswith(_ZIP):
            return "application/zip"
        return "text/plain" if is_text and octets else OCTETS
    if guessed.startswith("text/") and not is_text:
        return OCTETS
    # Python's mimetypes also maps saved web pages (.mht) to message/rfc822.
    if guessed.startswith(("multipart/", "message/")) and not name.lower().endswith(".eml"):
        return OCTETS
    return guessed


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def attach(path: Path, content_id: str | None = None, base: Path | None = None) -> Attachment:
    """Read a file as an attachment.

    @param base: the folder of a relative path. Default: the working folder.
    @raise ComposeError: the file cannot be read.
    """
    shown = on_one_line(str(path))
    try:
        file = path.expanduser()
        file = file if base is None else base / file
        # Reading a pipe may wait for ever, and a device may never end.
        kind = _KINDS.get(stat.S_IFMT(file.stat().st_mode))
        octets = file.read_bytes() if kind is None else b""
    except OSError as refused:
        raise ComposeError(
            f"Cannot attach {shown}: {refused.strerror}. Check the path and its permissions."
        ) from refused
    except (RuntimeError, ValueError) as refused:
        # The home folder of "~nobody" is unknown; a path cannot contain NUL.
        raise ComposeError(f"Cannot attach {shown}: {refused}") from refused
    if kind is not None:
        raise ComposeError(f"Cannot attach {shown}: it is {kind}, not a file.")
    return Attachment(path.name, octets, type_of(path.name, octets), content_id)
