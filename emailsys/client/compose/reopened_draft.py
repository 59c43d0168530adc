"""Drafts from existing messages: saved drafts, messages to send again, and .eml files."""

from __future__ import annotations

import re
from typing import Final

from emailsys.client.accounts.values import Encrypt
from emailsys.client.archive.values import AS_TYPED
from emailsys.client.compose.draft import Attachment, ComposeError, Draft, PassphraseNeeded
from emailsys.client.compose.header_fields import checked_name
from emailsys.client.compose.message_builder import FORMAT_FIELD, PROTECT_FIELD
from emailsys.client.compose.protection_words import set_protection
from emailsys.client.crypto.opening import Opener
from emailsys.mail.message.contents import contents
from emailsys.mail.message.ids import message_ids
from emailsys.mail.message.mailboxes import Mailbox, read_mailboxes
from emailsys.mail.message.mime import Part, parse

# Fields that servers and stores add (RFC 8601, RFC 8617, RFC 6376), which a draft moved here from elsewhere may have.
_ADDED: Final = re.compile(
    r"x-original-to|envelope-to|dkim-signature|domainkey-signature|arc-.*|authentication-results|x?-?status|x-keywords",
    re.I,
)


def as_attachment(part: Part) -> Attachment:
    """Return a part of a message as an attachment for another message."""
    octets = part.decoded()[0] if part.is_leaf else part.raw
    name = part.name or ("message.eml" if part.is_message else "attachment")
    return Attachment(name, octets, part.content_type, part.content_id or None)


def body_and_files(root: Part) -> tuple[Part | None, Part | None, list[Part]]:
    """Return the text part and the HTML part of the message's body, and all other leaves."""
    found = contents(root)
    texts = {id(part) for part in (*found.texts, *found.alternatives)}
    whole = {id(part) for part in found.attachments if not part.is_leaf}
    text: Part | None = None
    html: Part | None = None
    files: list[Part] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if not part.is_leaf and id(part) not in whole:
            waiting.extend(reversed(part.parts))
        elif part.content_type == "text/plain" and text is None and html is None and id(part) in texts:
            text = part
        elif part.content_type == "text/html" and html is None and id(part) in texts:
            html = part
        else:
            files.append(part)
    return text, html, files


def _is_of_the_user(name: str) -> bool:
    """Whether the user wrote a header field. Neither this client nor a server that stored the message adds it."""
    try:
        checked_name(name)
    except ComposeError:
        return False
    return _ADDED.fullmatch(name) is None


def draft_of(octets: bytes, is_draft: bool = False, opener: Opener | None = None) -> Draft:
    """Return a draft with the content of a message, including Bcc, but without its Message-ID and Date.

    @param is_draft: the message is a draft of the user: keep other header fields, and lines as they were typed.
    @param opener: opens an encrypted message. The draft is then to be encrypted, too.
    @raise ComposeError: the message is encrypted, and cannot be opened.
    """
    root = parse(octets, with_files=not is_draft)
    payload = root
    is_encrypted = root.content_type == "multipart/encrypted"
    opened = (
        opener.open(root) if opener is not None and (is_encrypted or root.content_type == "multipart/signed") else None
    )
    if opened is not None and opened.payload is not None:
        # Parsed again: OpenPGP that the user wrote into the text stays as it is.
        payload = parse(opened.payload.header + opened.payload.raw, with_files=not is_draft)
        is_encrypted = is_encrypted or opened.has_decrypted
    elif is_encrypted:
        if opened is not None and opened.is_locked:
            raise PassphraseNeeded("The message is encrypted, and your key needs its passphrase.")
        if opened is not None and opened.has_decrypted:
            raise ComposeError("Only a part of the message is encrypted. Forward it instead.")
        raise ComposeError("The message is encrypted, and cannot be opened here. Forward it instead.")
    elif opened is not None:
        # Without what was decrypted: the rest of the message may come from somebody else.
        payload = parse(octets, with_files=not is_draft)
    text, html, files = body_and_files(payload)

    def people(name: str) -> list[Mailbox]:
        field = root.text_of(name)
        # Of the user's own list nothing is left out, however long it is.
        return read_mailboxes(field, len(field)) if is_draft else read_mailboxes(field)

    draft = Draft(
        to=people("to"),
        cc=people("cc"),
        bcc=people("bcc"),
        reply_to=people("reply-to"),
        subject=(payload if is_encrypted and payload.first("subject") else root).decoded_of("subject"),
        text=text.text()[0] if text is not None else None,
        html=html.text()[0] if html is not None else None,
        attachments=[as_attachment(part) for part in files],
        references=message_ids(root.text_of("references")),
    )
    draft.sender = next(iter(read_mailboxes(root.text_of("from"))), None)
    draft.in_reply_to = next(iter(message_ids(root.text_of("in-reply-to"))), None)
    if is_draft:
        draft.fields = [(one.name, one.decoded) for one in root.fields if _is_of_the_user(one.name)]
        typed = (one.decoded.partition(":") for one in root.fields if one.name.lower() == AS_TYPED.lower())
        draft.as_typed = [(name, text) for name, _, text in typed]
        if words := root.text_of(PROTECT_FIELD):
            set_protection(draft, words)
        elif opened is not None:
            # A message that was stopped in the outbox.
            draft.sign = any(layer.signatures for layer in opened.layers)
    if is_encrypted:
        draft.encrypt = Encrypt.ALWAYS
    written_as = root.text_of(FORMAT_FIELD)
    if written_as == "markdown" and draft.text is not None:
        draft.markdown, draft.text, draft.html = draft.text, None, None
    elif written_as == "html" and draft.html is not None:
        draft.text = None
    return draft
