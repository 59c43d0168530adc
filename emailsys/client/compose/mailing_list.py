"""Mailing lists: where to post, and how to unsubscribe (RFC 2369, RFC 8058)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.mailto import draft_of_link
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.mailboxes import Mailbox
from emailsys.mail.message.mime import Part

# RFC 2369 §2: URLs in angle brackets, in order of preference. Only these schemes are used.
_URL: Final = re.compile(r"<\s*((?:https|mailto):[^<>\s]{1,1000})\s*>", re.I)
_MAX_LINKS: Final = 10
#: The form of RFC 8058 §3.2.
ONE_CLICK: Final = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """A way to leave a mailing list. `target` is a host, an address or a URL that may be shown to the user.

    - `url`: post ONE_CLICK there (RFC 8058).
    - `draft`: or send this message.
    - `page`: or open this page in a browser.
    """

    target: str
    url: str = ""
    draft: Draft | None = None
    page: str = ""

    @property
    def question(self) -> str:
        """What would be sent, for a question to the user. Not for a page."""
        if self.draft is None:
            return f"a request to {self.target}"
        subject, text = safe_line(self.draft.subject), safe_line(" ".join((self.draft.text or "").split()))
        return f"a message to {self.target} with the subject {subject!r} and the text {text[:200]!r}"


def posting_address(root: Part) -> Mailbox | None:
    """Return the address for messages to the list that a message came through, or None if it names none.

    @raise ComposeError: the list takes no messages (RFC 2369 §3.4).
    """
    text = root.text_of("list-post")
    for link in _URL.findall(text)[:_MAX_LINKS]:
        if link.lower().startswith("mailto:"):
            try:
                return next(iter(draft_of_link(link).to), None)
            except ComposeError:
                continue
    if re.match(r"\s*no\b", text, re.I):
        raise ComposeError("This mailing list takes no messages from its readers.")
    return None


def unsubscription(root: Part) -> Unsubscription | None:
    """Return the best way to leave the list that a message came through: one click, a message, a page. Or None."""
    links = _URL.findall(root.text_of("list-unsubscribe"))[:_MAX_LINKS]
    pages = [link for link in links if link.lower().startswith("https:") and _host(link)]
    # RFC 8058 §3.1: only with this field does a POST unsubscribe.
    if pages and root.text_of("list-unsubscribe-post").replace(" ", "").lower() == ONE_CLICK.decode().lower():
        return Unsubscription(_host(pages[0]), url=pages[0])
    for link in links:
        if link.lower().startswith("mailto:"):
            try:
                draft = draft_of_link(link)
            except ComposeError:
                continue
            if len(draft.to) == 1:
                # A link of a stranger's making reaches one address, and answers no message.
                draft.cc, draft.bcc, draft.in_reply_to = [], [], None
                draft.subject, draft.text = draft.subject or "unsubscribe", draft.text or "unsubscribe\n"
                return Unsubscription(safe_line(str(draft.to[0].address)), draft=draft)
    return Unsubscription(safe_line(pages[0]), page=pages[0]) if pages else None


def _host(link: str) -> str:
    """Return the host of a URL that may be requested, or ""."""
    try:
        parts = urlsplit(link)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = host.rstrip(".")
    # A last label with a digit is an address in one of its spellings, such as 127.1.
    is_own_network = "." not in host or host.rpartition(".")[2][:1].isdigit()
    if not link.isascii() or port not in (None, 443) or parts.username is not None or is_own_network or ":" in host:
        return ""
    return safe_line(host)
