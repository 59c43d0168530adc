"""Replies and forwarded messages."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final

from emailsys.client.accounts.values import Encrypt
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.header_fields import is_message_id
from emailsys.client.compose.mailing_list import posting_address
from emailsys.client.compose.reopened_draft import as_attachment, body_and_files
from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.protected_headers import protected_fields
from emailsys.client.text.file_names import safe_name
from emailsys.client.text.message_text import read_text
from emailsys.client.text.terminal import safe_line, safe_text
from emailsys.mail.address import Address
from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import decode_words
from emailsys.mail.message.ids import message_id, message_ids, replied_ids
from emailsys.mail.message.mailboxes import Mailbox, list_name, read_mailboxes, unusable_addresses
from emailsys.mail.message.mime import Part, parse, parse_header

# "Re" and "Fwd" in the languages whose mail programs translate them.
_REPLY_PREFIX: Final = re.compile(r"^\s*(?:(?:re|aw|sv|vs|antw|odp|ynt|回复|答复)(?:\[\d+\])?\s*[:\uff1a]\s*)+", re.I)
_FORWARD_PREFIX: Final = re.compile(r"^\s*(?:fwd?|wg|tr|rv|enc|vl|vb|转发)\s*[:\uff1a]", re.I)
_MAX_QUOTED: Final = 200_000
# RFC 5322 §3.6.4 sets no limit. The first and the last references are enough to keep a conversation together.
_MAX_REFERENCES: Final = 50
# Fields whose addresses some programs also write in In-Reply-To.
_PEOPLE: Final = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc")
_SHOWN: Final = ("From", "Date", "Subject", "To", "Cc")


def message_text(root: Part) -> str:
    """Return the text of a message, with HTML converted. It is safe for a terminal, because the user edits it there."""
    return safe_text(read_text(root, _MAX_QUOTED, with_inside=False)[0])


def quote(text: str) -> str:
    """Prefix each line with "> ", and omit the signature (RFC 3676 §4.3, §4.5)."""
    text = re.split(r"^-- $", text, maxsplit=1, flags=re.M)[0].rstrip()
    return "\n".join((">" if line.startswith(">") or not line else "> ") + line for line in text.split("\n"))


def _references(root: Part) -> tuple[str | None, list[str]]:
    own = [one for one in [message_id(root.text_of("message-id"))] if one]
    people = {str(one.address).lower() for name in _PEOPLE for one in read_mailboxes(root.text_of(name))}
    before = message_ids(root.text_of("references"), people) or replied_ids(root.text_of("in-reply-to"), people)[:1]
    chain = [*(one for one in before if one not in own), *own]
    if len(chain) > _MAX_REFERENCES:
        chain = [chain[0], *chain[-(_MAX_REFERENCES - 1) :]]
    # References that cannot be written as a message id are left out.
    chain = [one for one in chain if is_message_id(one)]
    return (chain[-1] if own and chain and chain[-1] == own[0] else None), chain


class ReplyTo(enum.Enum):
    """The recipients that an answer can have."""

    SENDER = "sender"
    ALL = "all"
    #: The mailing list that the message came through, and nobody else.
    LIST = "list"


# Fields whose addresses an answer is for.
_USED: Final = {
    ReplyTo.SENDER: ("reply-to", "from"),
    ReplyTo.ALL: ("reply-to", "from", "to", "cc"),
    ReplyTo.LIST: (),
}


def recipients_of(octets: bytes) -> list[Address]:
    """Return the addresses of To and Cc of a message."""
    root = parse_header(octets)
    return [one.address for name in ("to", "cc") for one in read_mailboxes(root.text_of(name))]


def reply(
    octets: bytes,
    sender: Mailbox,
    is_own: Callable[[Address], bool] | None = None,
    reply_to: ReplyTo = ReplyTo.SENDER,
    opener: Opener | None = None,
) -> Draft:
    """Return a draft that answers a message in the same conversation and quotes its text.

    The answer goes to Reply-To, or else to From. An answer to the user's own message goes to its recipients.

    @param is_own: whether an address belongs to the answering account, and gets no copy. Default: the sender's alone.
    @param reply_to: the sender, all recipients, or the mailing list.
    @param opener: opens an encrypted message. The answer is then to be encrypted, too.
    @raise ComposeError: the answer is for the list, and the message names no address of a list.
    """
    root = parse(octets)
    to_all = reply_to is ReplyTo.ALL
    own = is_own or (lambda address: address.key == sender.address.key)
    origin = read_mailboxes(root.text_of("from"))
    # A Reply-To that names only the answering account would send the answer back to it.
    to = [one for one in read_mailboxes(root.text_of("reply-to")) if not own(one.address)] or origin
    everybody = [*read_mailboxes(root.text_of("to")), *read_mailboxes(root.text_of("cc"))]
    if origin and all(own(one.address) for one in origin):
        to = read_mailboxes(root.text_of("to"))
        # A message to others and to oneself: the answer is for the others.
        to = [one for one in to if not own(one.address)] or to
    if reply_to is ReplyTo.LIST:
        posting = posting_address(root)
        if posting is None:
            raise ComposeError("The message names no mailing list: it has no usable List-Post.")
        to = [posting]
    taken = {one.address.key for one in to}
    others = {
        one.address.key: one for one in everybody if to_all and one.address.key not in taken and not own(one.address)
    }
    in_reply_to, references = _references(root)
    quoted, subject, encrypt = _opened(root, opener)
    subject = _REPLY_PREFIX.sub("", safe_line(subject)).strip()
    who = safe_line(list_name(origin[0])) if origin else "somebody"
    date = parse_date(root.text_of("date"))
    when = f"On {date:%Y-%m-%d %H:%M} UTC, " if date else ""
    return Draft(
        sender=sender,
        to=list({one.address.key: one for one in to}.values()),
        cc=list(others.values()),
        subject=f"Re: {subject}",
        text=f"{when}{who} wrote:\n{quote(message_text(quoted))}\n\n",
        encrypt=encrypt,
        in_reply_to=in_reply_to,
        references=references,
        unusable=[one for name in _USED[reply_to] for one in unusable_addresses(root.text_of(name))],
    )


def _opened(root: Part, opener: Opener | None) -> tuple[Part, str, Encrypt]:
    """Return the part whose text is quoted, the subject, and whether the answer is to be encrypted.

    Text that was encrypted is quoted only if all of the message was. Somebody may have put the encrypted part of
    another message into theirs, to get it back in clear text with the answer.
    """
    is_encrypted = root.content_type == "multipart/encrypted"
    subject, encrypt = root.decoded_of("subject"), Encrypt.ALWAYS if is_encrypted else Encrypt.NEVER
    if opener is None:
        return root, subject, encrypt
    opened = opener.open(root)
    if not opened.has_decrypted:
        return root, subject, encrypt
    if opened.payload is None or not all(layer.is_whole for layer in opened.layers):
        return parse(root.source), subject, encrypt
    subject = decode_words(protected_fields(opened).get("Subject", "")) or subject
    return root, subject, Encrypt.ALWAYS


def forward(octets: bytes, sender: Mailbox, inline: bool = False, opener: Opener | None = None) -> Draft:
    """Return a draft that forwards a message.

    @param inline: put its text below a line and attach its files. Else the whole message is one attachment.
    @param opener: opens an encrypted message. Its text is then to be encrypted again.
    """
    root = parse(octets)
    subject, encrypt = root.decoded_of("subject"), Encrypt.NEVER
    if inline:
        root, subject, encrypt = _opened(root, opener)
    subject = safe_line(subject).strip()
    if not _FORWARD_PREFIX.match(subject):
        subject = f"Fwd: {subject}"
    draft = Draft(sender=sender, subject=subject, encrypt=encrypt)
    _, draft.references = _references(root)
    if not inline:
        name = safe_name(root.decoded_of("subject"), "message", 80).removesuffix(".eml") + ".eml"
        draft.text = ""
        draft.attachments = [Attachment(name, octets, "message/rfc822")]
        return draft
    head = "\n".join(f"{name}: {safe_line(value)}" for name in _SHOWN if (value := root.decoded_of(name)))
    draft.text = f"\n\n---------- Forwarded message ----------\n{head}\n\n{message_text(root)}\n"
    draft.attachments = [as_attachment(part) for part in body_and_files(root)[2]]
    return draft
