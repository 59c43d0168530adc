"""Octets above 0x7F in header sections that are not UTF-8: read by the charset of the text, or else by a guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emailsys.mail.message.charset_guess import guessed_charset
from emailsys.mail.message.charsets import is_charset
from emailsys.mail.message.fields import parse_value
from emailsys.mail.message.part import Field, Part
from emailsys.mail.message.transfer_encoding import IDENTITY

# Charsets that say nothing about octets that are not UTF-8.
_TELL_NOTHING: Final = frozenset({"us-ascii", "ascii", "utf-8", "utf8"})


def read_raw_headers(parts: Sequence[Part], root: Part) -> None:
    """Read 8-bit octets in headers by the charset of the text, or else by a guess. A defect says which."""
    if not parts:
        return
    text = next((one for one in root.walk() if one.is_leaf and one.content_type.startswith("text/")), root)
    charset = text.charset
    if not is_charset(charset) or charset in _TELL_NOTHING:
        values = b"\n".join(one.value for part in parts for one in part.fields if not one.value.isascii())
        charset = guessed_charset(values + b"\n" + (text.raw if text.encoding in IDENTITY else b""))
        if charset == "utf-8":
            charset = "windows-1252"
        how = f"charset guessed: {charset}"
    else:
        how = f"read as {charset}, the charset of the text"
    for part in parts:
        part.fields = tuple(one if one.value.isascii() else Field(one.name, one.value, charset) for one in part.fields)
        part.defects.append(f"8-bit octets in the header that are not UTF-8: {how}")
        for name, parameters in (
            ("content-type", part.parameters),
            ("content-disposition", part.disposition_parameters),
        ):
            found = parse_value(part.text_of(name))[1]
            parameters.update((key, found[key]) for key in parameters if key in found and key != "boundary")
