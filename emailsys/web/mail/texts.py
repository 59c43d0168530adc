"""Text and HTML of messages for pages, by the same code as the mail client's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import islice
from threading import BoundedSemaphore
from typing import Final

from emailsys.client.opening.page import cleaned, html_of, is_too_complex
from emailsys.client.text.message_text import read_text
from emailsys.mail.message.contents import Contents
from emailsys.mail.message.mime import Part
from emailsys.web.base.refusal import Refusal

# Characters of a text on a page.
_MAX_TEXT: Final = 500_000
# Links of a text. The page is made while nothing else runs; more addresses are plain text.
_MAX_LINKS: Final = 2_000
_MAX_HTML: Final = 1_000_000
#: Threads that clean HTML at the same time: hostile messages must not occupy all threads of the reactor.
CLEANING: Final = BoundedSemaphore(4)
# Control characters have no picture in browsers, and those that turn the direction of text could disguise it.
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINK: Final = re.compile(r"https?://[^\s<>\"'()\[\]{}]{1,2000}[^\s<>\"'()\[\]{}.,;:!?]")
# A policy of its own: no script, no form, no host but those of pictures, if the reader asked for them.
_FRAME_POLICY: Final = (
    "default-src 'none'; img-src data:{remote}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
# Bounded: a regular expression holds the interpreter, and with it the daemon, until it ends.
_REMOTE: Final = re.compile(r"<img\b[^<>]{0,3000}\bsrc\s{0,9}=\s{0,9}[\"']?\s{0,9}(?:https?:)?//", re.I)


def plain_text_of(root: Part) -> tuple[str, list[str], Contents]:
    """Return the text of a message, what it lacks, and the message's contents."""
    text, defects, found = read_text(root, _MAX_TEXT)
    return _CONTROLS.sub("\ufffd", text), defects, found


def linked(text: str) -> Sequence[tuple[str, bool]]:
    """Split a text into pieces, each with whether it is the address of a web page."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for found in islice(_LINK.finditer(text), _MAX_LINKS):
        pieces += [(text[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [*pieces, (text[end:], False)]


def has_html(root: Part) -> bool:
    """Whether a message has HTML that can be shown."""
    return html_of(root) is not None


def has_remote(root: Part) -> bool:
    """Whether the HTML of a message names pictures of the network."""
    part = html_of(root)
    return part is not None and _REMOTE.search(part.text()[0]) is not None


def frame_of(root: Part, with_remote: bool) -> tuple[str, str]:
    """Return the document for the frame of a message's HTML, and its policy.

    @param with_remote: whether these pictures are loaded.
    @raise Refusal: too many threads do this already.
    """
    part = html_of(root)
    text = "" if part is None else part.text()[0]
    if len(text) > _MAX_HTML:
        text = "<p>The HTML of this message is too long to be shown. Download the message to read it.</p>"
    elif is_too_complex(text):
        text = (
            "<p>The HTML of this message is defective or hostile: it has too many elements inside of each other to be "
            "shown. Read its text, or download the message.</p>"
        )
    if not CLEANING.acquire(blocking=False):
        raise Refusal(503, "Other messages are being prepared", "Try again in a moment.")
    try:
        body = cleaned(text, root, with_remote)
    finally:
        CLEANING.release()
    page = (
        '<!DOCTYPE html><html><head><meta charset="utf-8"><base target="_blank">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">'
        f"<title>{escape('HTML of the message')}</title><style>body{{font:16px/1.5 system-ui,sans-serif;color:#1b1f27;"
        "background:#fff;margin:16px;overflow-wrap:anywhere}img{max-width:100%;height:auto}"
        "table{max-width:100%}</style></head>"
        f"<body>{body}</body></html>"
    )
    return page, _FRAME_POLICY.format(remote=" https: http:" if with_remote else "")
