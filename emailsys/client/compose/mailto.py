"""Drafts from mailto: links (RFC 6068)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.header_fields import on_one_line
from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.ids import message_ids
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes


def _decoded(text: str) -> str:
    # RFC 6068 §5: "+" stands for itself, not for a blank.
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _people(text: str) -> list[Mailbox]:
    try:
        return parse_mailboxes(on_one_line(text))
    except AddressSyntaxError as wrong:
        raise ComposeError(f"The mailto: link has an invalid address: {wrong}") from None


def draft_of_link(link: str) -> Draft:
    """Return a draft from a mailto: link.

    Only To, Cc, Bcc, Subject, In-Reply-To and the body are used (RFC 6068 §4). An untrusted link cannot attach files
    or set other header fields; the draft has a warning about the files.

    @raise ComposeError: the text is not a mailto: link, or an address in it is invalid.
    """
    scheme, colon, rest = link.strip().partition(":")
    if not colon or scheme.lower() != "mailto":
        raise ComposeError(f"{link.strip()[:80]!r} is not a mailto: link")
    people, _, query = rest.partition("#")[0].partition("?")
    draft = Draft(to=_people(_decoded(people)))
    for pair in query.replace("&amp;", "&").split("&"):
        name, _, value = pair.partition("=")
        value = _decoded(value)
        match _decoded(name).lower():
            case "to":
                draft.to += _people(value)
            case "cc":
                draft.cc += _people(value)
            case "bcc":
                draft.bcc += _people(value)
            case "subject":
                draft.subject = on_one_line(value)
            case "in-reply-to":
                draft.in_reply_to = next(iter(message_ids(value)), None)
            case "attach" | "attachment":
                draft.not_attached.append(value)
            case "body":
                draft.text = value.replace("\r\n", "\n").replace("\r", "\n")
    return draft
