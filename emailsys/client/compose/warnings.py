"""Warnings before a message is sent: missing attachment, empty subject, empty text."""

from __future__ import annotations

import re
from typing import Final

from emailsys.client.compose.draft import Draft
from emailsys.client.text.html import html_to_text
from emailsys.client.text.terminal import safe_line

# Words for attachments in English, German, French, Spanish, Portuguese, Italian, Dutch, the Scandinavian languages,
# Polish, Russian, Chinese and Japanese.
_MENTIONS_FILES: Final = re.compile(
    r"\b(?:attach(?:ed|ing|ment|ments)|enclosed|anhang|angehängt|anbei|beigefügt|pi[eè]ces? jointes?|ci-joint\w*|"
    r"adjunt[oa]s?|anexos?|em anexo|allegat[oi]|in allegato|bijlagen?|bijgevoegd|bifoga\w*|vedlagt|vedhæftet|"
    r"załącz\w+|вложени\w+|прикрепл\w+)\b|附件|添付",
    re.I,
)
# Characters of an address that are quoted.
_MAX_SHOWN: Final = 100
_QUOTED: Final = re.compile(r"^(?:>.*|-- )$", re.M)


def _own_words(draft: Draft) -> str:
    """Return the user's own text, without quotes, signature and forwarded messages."""
    text = draft.markdown or draft.text or (html_to_text(draft.html) if draft.html else "")
    text = re.split(r"^-- ?$|^-{5,} ?Forwarded message", text, maxsplit=1, flags=re.M)[0]
    return _QUOTED.sub("", text)


def not_attached(draft: Draft) -> list[str]:
    """Return a warning for each file that a link asked for."""
    return [
        f"the link asks for the file {safe_line(one[:_MAX_SHOWN])!r}: it is not attached" for one in draft.not_attached
    ]


def warnings(draft: Draft) -> list[str]:
    """Return warnings to show: a lost recipient, a mentioned but missing attachment, an empty subject or message."""
    found = [
        f"the message has no usable address in {safe_line(one[:_MAX_SHOWN])!r}: it gets no copy"
        for one in draft.unusable
    ]
    found += not_attached(draft)
    own = _own_words(draft)
    if not draft.attachments and (word := _MENTIONS_FILES.search(f"{draft.subject}\n{own}")):
        found.append(f"the text says {word[0]!r}, but nothing is attached")
    if not draft.subject.strip():
        found.append("the subject is empty")
    if not draft.body.strip() and not draft.attachments:
        found.append("the message is empty")
    return found
