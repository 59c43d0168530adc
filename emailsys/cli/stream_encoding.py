"""Encoding of standard streams, arguments and file names: every locale works."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import Final

# Names of ASCII. Terminals in the locale C show UTF-8, which is what Python writes there (PEP 540).
_ASCII: Final = ("ascii", "us-ascii", "ansi_x3.4-1968", "646")


def use_utf8_file_names() -> None:
    """Start this program again in Python's UTF-8 mode, if the locale has another encoding for file names.

    Message files have UTF-8 names in every locale; otherwise a change of the locale would hide them.
    """
    if os.name == "posix" and not sys.flags.utf8_mode and sys.executable and sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself, no shell


def terminal_encoding() -> str | None:
    """Return the encoding of the locale, or None if the streams have it already or it is unknown."""
    if not sys.flags.utf8_mode or "PYTHONIOENCODING" in os.environ:
        return None
    import codecs
    import locale

    encoding = locale.getencoding()
    try:
        codecs.lookup(encoding)
    except LookupError:
        return None
    return None if encoding.lower() in (*_ASCII, "utf-8") else encoding


def adapt_streams(streams: Iterable[object], encoding: str | None) -> None:
    """Let streams replace characters that they cannot encode, instead of failing.

    @param encoding: the encoding to use, None for the present one.
    """
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding or stream.encoding, errors="replace")


def adapt_arguments(arguments: Iterable[str], encoding: str | None) -> list[str]:
    """Decode arguments as the locale does, and replace what it cannot decode. Existing files keep their octets.

    @param encoding: None for UTF-8.
    """
    decoded = []
    for argument in arguments:
        if argument.isascii() or os.path.lexists(argument):
            decoded.append(argument)
        else:
            decoded.append(os.fsencode(argument).decode(encoding or "utf-8", "replace"))
    return decoded


def adapt_process() -> None:
    """Prepare this process for its locale, before anything is read or written."""
    use_utf8_file_names()
    encoding = terminal_encoding()
    adapt_streams((sys.stdin, sys.stdout, sys.stderr), encoding)
    sys.argv[1:] = adapt_arguments(sys.argv[1:], encoding)


def adapt_keys() -> None:
    """Let full-screen programs decode keys as the locale does. Octets that are no characters are replaced."""
    if sys.platform == "win32":
        # Its console tells characters.
        return
    from textual.drivers import linux_driver

    from emailsys.upstream import decode_keys

    decode_keys(linux_driver, terminal_encoding() or "utf-8")


def can_show_everything(stream: object) -> bool:
    """Tell whether a stream encodes every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
