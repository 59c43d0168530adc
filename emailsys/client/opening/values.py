"""Exception of a link or a file that is not opened."""

from __future__ import annotations


class OpeningError(Exception):
    """A link, a file or a command was not opened. The text says why and is safe to show."""
