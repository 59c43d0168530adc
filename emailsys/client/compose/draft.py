"""Draft of a message: the values that a user edits, before they are encoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from emailsys.client.accounts.values import Encrypt
from emailsys.mail.message.mailboxes import Mailbox


class ComposeError(ValueError):
    """A draft cannot become a message. The text says what is wrong and is safe to show."""


class PassphraseNeeded(ComposeError):
    """The user's key needs its passphrase, and gpg may not ask now."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to a message. With a `content_id` (without brackets) it is an inline image of the HTML part."""

    name: str
    octets: bytes
    content_type: str = "application/octet-stream"
    content_id: str | None = None


@dataclass(slots=True)
class Draft:
    """A message that is being written.

    If `markdown` is set, text and HTML are made from it. If only `html` is set, a text alternative is added.
    `in_reply_to` and `references` hold message ids without angle brackets. If `message_id` is None, one is made when
    the message is built.
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
    #: Other header fields, as name and value. Fields that the client makes itself are rejected.
    fields: list[tuple[str, str]] = field(default_factory=list)
    message_id: str | None = None
    #: A calendar object that says what the text says: its iTIP method, and itself. It is not kept in a saved draft.
    calendar: tuple[str, str] | None = None
    #: What the answered message has in place of addresses, so that the answer cannot go there.
    unusable: list[str] = field(default_factory=list)
    #: The files that a mailto: link asked to attach.
    not_attached: list[str] = field(default_factory=list)
    #: Lines above the text that cannot be used yet, as the user typed them: the field's name, and the rest of the line.
    #: The name is "" if the line has none. A draft keeps them; a message with such lines is not built.
    as_typed: list[tuple[str, str]] = field(default_factory=list)

    #: Whether the message is signed and encrypted with OpenPGP when it is sent.
    sign: bool = False
    encrypt: Encrypt = Encrypt.NEVER
    #: Fingerprints of keys that the user accepted for this message although they are not certified.
    accepted_keys: frozenset[str] = frozenset()

    def typed(self, name: str) -> str:
        """Return the addresses of To, Cc, Bcc or Reply-To for editing: those that are valid, then what was typed."""
        valid: list[Mailbox] = getattr(self, name.lower().replace("-", "_"))
        typed = [text for written, text in self.as_typed if written.lower() == name.lower()]
        return ", ".join([*map(str, valid), *typed])

    @property
    def body(self) -> str:
        """The text that the user edits: Markdown, or else plain text, or else HTML."""
        return next((one for one in (self.markdown, self.text, self.html) if one is not None), "")
