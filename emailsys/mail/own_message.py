"""Messages that this system writes to people of its own: header, and paragraphs of plain text."""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.trace_fields import date_time

_WIDTH: Final = 76


def own_message(to: Address, sender: Address, subject: str, unique: str, made_at: datetime, *paragraphs: str) -> bytes:
    """Compose a message. Lines end with CRLF. A message for an address in UTF-8 is one of RFC 6532, any other is 7-bit.

    RFC 3834 §5: the field Auto-Submitted tells programs not to answer.

    @param unique: letters, digits and dots that no other message of the domain of `to` has.
    """
    is_ascii = all(text.isascii() for text in (str(to), str(sender), subject, *paragraphs))
    header = (
        f"From: Mail System <{sender}>",
        f"To: <{to}>",
        f"Subject: {subject}",
        f"Date: {date_time(made_at)}",
        f"Message-ID: <{unique}@{to.domain}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={'us-ascii' if is_ascii else 'utf-8'}",
        *(() if is_ascii else ("Content-Transfer-Encoding: 8bit",)),
    )
    lines = "\n\n".join(_filled(paragraph) for paragraph in paragraphs).split("\n")
    return "\r\n".join((*header, "", *lines, "")).encode()


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
