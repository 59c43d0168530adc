"""Composition of a message from the JSON of the API, with the message builder of the mail client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.message_builder import build
from emailsys.mail.address import Address, parse
from emailsys.mail.message.mailboxes import Mailbox
from emailsys.web.api.problem import not_allowed
from emailsys.web.api.schema import base64_octets


def compose(body: Mapping[str, Any], own: Address, now: datetime) -> tuple[Address | None, Sequence[Address], bytes]:
    """Return the reverse-path, the recipients and the octets of the message that `body` describes.

    @param own: the sender if `body` names none.
    @raise Problem: it cannot become a message.
    """
    draft = Draft(
        sender=_mailbox(body["from"]) if "from" in body else Mailbox("", own),
        to=_mailboxes(body, "to"),
        cc=_mailboxes(body, "cc"),
        bcc=_mailboxes(body, "bcc"),
        reply_to=_mailboxes(body, "reply_to"),
        subject=body.get("subject", ""),
        text=body.get("text"),
        html=body.get("html"),
        attachments=[_attachment(one) for one in body.get("attachments", ())],
        in_reply_to=body.get("in_reply_to"),
        references=list(body.get("references", ())),
        fields=list(body.get("headers", {}).items()),
    )
    if "text" not in body and "html" not in body:
        draft.text = ""
    try:
        made = build(draft, now)
    except ComposeError as error:
        raise not_allowed([("", str(error))]) from None
    return made.reverse_path, made.recipients, made.octets


def _mailboxes(body: Mapping[str, Any], name: str) -> list[Mailbox]:
    return [_mailbox(one) for one in body.get(name, ())]


def _mailbox(value: Mapping[str, str]) -> Mailbox:
    return Mailbox(value.get("name", ""), parse(value["address"]))


def _attachment(value: Mapping[str, str]) -> Attachment:
    octets = base64_octets(value["content"])
    # The schema has checked it.
    assert octets is not None
    content_type = value.get("content_type", "application/octet-stream")
    return Attachment(value["name"], octets, content_type, value.get("content_id"))
