"""Drafts from existing messages: saved drafts, messages to send again, and .eml files."""

from __future__ import annotations

from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import FORMAT_FIELD
from emailsys.mail.message.fields import message_ids
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import Part, parse


def as_attachment(part: Part) -> Attachment:
    """Return a part of a message as an attachment for another message."""
    octets = part.decoded()[0] if part.is_leaf else part.raw
    name = part.name or ("message.eml" if part.is_message else "attachment")
    return Attachment(name, octets, part.content_type, part.content_id or None)


def body_and_files(root: Part) -> tuple[Part | None, Part | None, list[Part]]:
    """Return the text part and the HTML part of the message's body, and all other leaves."""
    text: Part | None = None
    html: Part | None = None
    files: list[Part] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.content_type.startswith("multipart/") and not part.is_leaf:
            waiting.extend(reversed(part.parts))
        elif part.content_type == "text/plain" and text is None and html is None and not part.is_attachment:
            text = part
        elif part.content_type == "text/html" and html is None and not part.is_attachment:
            html = part
        else:
            files.append(part)
    return text, html, files


def draft_of(octets: bytes) -> Draft:
    """Return a draft with the content of a message, including Bcc, but without its Message-ID and Date."""
    root = parse(octets)
    text, html, files = body_and_files(root)
    draft = Draft(
        to=read_mailboxes(root.text_of("to")),
        cc=read_mailboxes(root.text_of("cc")),
        bcc=read_mailboxes(root.text_of("bcc")),
        reply_to=read_mailboxes(root.text_of("reply-to")),
        subject=root.decoded_of("subject"),
        text=text.text()[0] if text is not None else None,
        html=html.text()[0] if html is not None else None,
        attachments=[as_attachment(part) for part in files],
        references=message_ids(root.text_of("references")),
    )
    draft.sender = next(iter(read_mailboxes(root.text_of("from"))), None)
    draft.in_reply_to = next(iter(message_ids(root.text_of("in-reply-to"))), None)
    written_as = root.text_of(FORMAT_FIELD)
    if written_as == "markdown" and draft.text is not None:
        draft.markdown, draft.text, draft.html = draft.text, None, None
    elif written_as == "html" and draft.html is not None:
        draft.text = None
    return draft
