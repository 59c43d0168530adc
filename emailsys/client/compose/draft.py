"""A message while it is being written: plain values, no octets yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from emailsys.mail.message.mailboxes import Mailbox


class ComposeError(ValueError):
    """The message cannot be made so; the text says what is wrong and is fit to be shown."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message. `content_id` (without brackets) makes it an inline image of the HTML part."""

    name: str
    octets: bytes
    content_type: str = "application/octet-stream"
    content_id: str | None = None


@dataclass(slots=True)
class Draft:
    """What a person writes. Of `text`, `html` and `markdown`, Markdown makes both others; HTML alone gets its text
    alternative. `in_reply_to` and `references` hold message ids without angle brackets; `message_id` is made when the
    message is built, unless it is given.
    """

    sender: Mailbox | None = None
    to: list[Mailbox] = field(default_factory=list)
    cc: list[Mailbox] = field(default_factory=list)
    bcc: list[Mailbox] = field(default_factory=list)
    reply_to: list[Mailbox] = field(default_factory=list)
    subject: str = ""
    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    in_reply_to: str | None = None
    references: list[str] = field(default_factory=list)
    #: Further fields, name and value; those that we make ourselves are refused.
    fields: list[tuple[str, str]] = field(default_factory=list)
    message_id: str | None = None

    @property
    def body(self) -> str:
        """What a person edits: Markdown, else text, else HTML."""
        return next((one for one in (self.markdown, self.text, self.html) if one is not None), "")
