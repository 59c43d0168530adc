"""Message ids in Message-ID, In-Reply-To and References, also as strangers write them (RFC 5322 §3.6.4)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from emailsys.mail.message.fields import MAX_STRUCTURED

# Lenient: an id that was folded in its middle has blanks.
_BRACKETED: Final = re.compile(r"<([^<>]{1,500})>")
_BLANKS: Final = re.compile(r"\s+")
_BARE: Final = re.compile(r"[^\s<>@,;()\"]{1,250}@[^\s<>@,;()\"]{1,250}")
# RFC 822 §4.6.9 allowed prose in In-Reply-To. A person named there has an address, which is no message id.
_PERSON: Final = re.compile(r"\b(?:from|by|von|par|van|av|de)\s[^<>\d\"]*$", re.I)
# Characters in front of an address in which such a word is looked for.
_MAX_PERSON: Final = 200
# What follows a person who is named in front of a quotation.
_WROTE: Final = re.compile(
    r"[\s,]*+(?:wrote|writes|said|schrieb|(?:a )?écrit|skrev|schreef|escribió|ha scritto)\b", re.I
)
# RFC 5322 §3.6.4, lenient: any word on both sides, since programs write many, and an id only has to be the same.
_WHOLE: Final = re.compile(r"<[^\s<>@]{1,250}@[^\s<>@]{1,250}>")
_PROSE: Final = re.compile(r"[^\W\d_]{2}")


def _joined(text: str) -> str:
    """Return an id without the blanks of its folding; "" if these rather separate words."""
    joined = _BLANKS.sub("", text)
    return joined if joined == text or "@" in joined else ""


def message_id(text: str) -> str:
    """Return the id of a message from its Message-ID field, without brackets; "" if it has none that can be used.

    An id that lacks its brackets is read as if it had them.
    """
    found = message_ids(text)
    if found:
        return found[0]
    text = text.strip().strip("<>").strip()
    return text if 0 < len(text) <= 500 and _BLANKS.search(text) is None and "<" not in text else ""


def message_ids(text: str, addresses: Collection[str] = ()) -> list[str]:
    """Return the ids of a list without brackets, in order. If none has brackets, words such as a@b are ids.

    @param addresses: addresses that the other fields of the message have, in lower case. They are no ids.
    """
    text = text[:MAX_STRUCTURED]
    found = [_joined(one) for one in _BRACKETED.findall(text)]
    if not found:
        words = text.replace("<", " ").replace(">", " ").replace(",", " ").split()
        if words and all(_BARE.fullmatch(word) for word in words):
            found = words
    return [one for one in dict.fromkeys(found) if one and one.lower() not in addresses]


def replied_ids(text: str, addresses: Collection[str] = ()) -> list[str]:
    """Return the ids in an In-Reply-To field, and none of the addresses of people whom its prose names.

    @param addresses: addresses that the other fields of the message have, in lower case. They are no ids.
    """
    text = text[:MAX_STRUCTURED]
    found = list(_BRACKETED.finditer(text))
    prose = _BRACKETED.sub(" ", text)
    if not found or _PROSE.search(prose) is None:
        return message_ids(text, addresses)
    ids = []
    at = 0
    for one in found:
        before = text[at : one.start()]
        at = one.end()
        # "Ann Example <ann@example.net> wrote on Monday".
        is_named = _WROTE.match(text, at) is not None
        is_person = _PERSON.search(before, max(0, len(before) - _MAX_PERSON)) is not None
        if is_person or is_named or one[1].strip().lower() in addresses:
            continue
        ids.append(_joined(one[1]))
    return [one for one in ids[-1:] if one]


def id_defect(text: str) -> str:
    """Return what is wrong with a Message-ID that `message_id` reads all the same, or cannot use; "" if nothing is."""
    text = text.strip()[:MAX_STRUCTURED]
    if _WHOLE.fullmatch(text) is not None:
        return ""
    found = message_id(text)
    if found == text:
        return f"{text[:100]!r} lacks its brackets"
    return f"{text[:100]!r} is not a well-formed id, and is read as {found!r}" if found else f"no id in {text[:100]!r}"


def replied_defect(text: str) -> str:
    """Return what `message_ids` and `replied_ids` do not use of a field of ids; "" if it is well-formed."""
    text = text.strip()
    if len(text) > MAX_STRUCTURED:
        return f"only its first {MAX_STRUCTURED:,} characters are read"
    rest = _BRACKETED.sub(" ", text).strip(" \t\r\n,")
    return f"this is no message id in brackets: {rest[:100]!r}" if rest else ""
