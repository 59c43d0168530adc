"""SMTP replies: code, enhanced status code and text, and the table of those we give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of RFC 5321 §4.2 with an enhanced status code of RFC 3463, "" where none belongs.

    The text may hold line breaks; each line becomes a line of a multi-line reply. Control octets are escaped when printed.
    """

    code: int
    enhanced: str
    text: str
