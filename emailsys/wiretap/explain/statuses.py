"""Explanations of enhanced status codes, response codes of POP3, and SASL mechanisms."""

from __future__ import annotations

import re
from typing import Final

from emailsys.wiretap.explain.tables import Part, part, table

# RFC 3463 §2
_ENHANCED: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?=\s|$)")
# RFC 2449 §8: a response code in brackets, its words parted by slashes.
_RESPONSE: Final = re.compile(r"\[([A-Za-z0-9-]{1,40}(?:/[A-Za-z0-9-]{1,40}){0,5})\]")


def enhanced_status(text: str) -> Part | None:
    """Explains the enhanced status code that a text begins with. Returns None if it begins with none."""
    found = _ENHANCED.match(text)
    if found is None:
        return None
    status = table("status")
    entry = status["code"].get(f"{found[2]}.{found[3]}")
    if entry is None:
        entry = status["subject"].get(found[2], status["subject"]["0"])
    explained = part(found[0], entry)
    kind = status["class"][found[1]]
    return Part(explained.word, f"{explained.meaning} The first digit says: {kind['title']}.", explained.rfc)


def response_code(text: str) -> Part | None:
    """Explains the response code of POP3 that a text begins with. Returns None if it begins with none."""
    found = _RESPONSE.match(text)
    if found is None:
        return None
    codes = table("pop3")["response"]
    words = found[1].upper().split("/")
    for length in range(len(words), 0, -1):
        entry = codes.get("/".join(words[:length]))
        if entry is not None:
            return part(found[0], entry)
    return Part(found[0], "A response code that is not known here.", "RFC 2449 §8")


def mechanism(name: str) -> Part:
    """Explains a SASL mechanism."""
    entry = table("sasl")["mechanism"].get(name.upper())
    return Part(name, "A SASL mechanism that is not known here.", "RFC 4422") if entry is None else part(name, entry)
