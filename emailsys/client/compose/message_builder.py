"""Message builder: turns a draft into octets with CRLF lines and an envelope."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from emailsys.client.archive.values import AS_TYPED
from emailsys.client.compose import header_fields
from emailsys.client.compose.attachments import OCTETS
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.encoding import encode_file, encode_message, encode_text
from emailsys.client.compose.markdown import markdown_to_html
from emailsys.client.compose.protection_words import protection_words
from emailsys.client.text.html import html_to_text
from emailsys.mail.address import Address
from emailsys.mail.message.fields import is_media_type
from emailsys.mail.trace_fields import date_time

#: Header field of a draft on disk: its format, markdown or html.
FORMAT_FIELD: Final = "X-Emailsys-Format"
#: How the message is to be protected: see `protection_words`.
PROTECT_FIELD: Final = "X-Emailsys-Protect"
#: The subject outside of an encrypted message (RFC 9788 §3.2.1).
HIDDEN_SUBJECT: Final = "[...]"
_FIELD: Final = re.compile(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message ready to be sent.

    `octets` has no Bcc field. `recipients` includes the Bcc recipients and has each address once. `message_id` is
    without angle brackets. `eight_bit` requires 8BITMIME, which only a forwarded message can need. `smtputf8` requires
    SMTPUTF8 for internationalized addresses.
    """

    octets: bytes
    reverse_path: Address | None
    recipients: tuple[Address, ...]
    message_id: str
    eight_bit: bool
    smtputf8: bool


@dataclass(frozen=True, slots=True)
class _Node:
    """An encoded MIME part: header fields and body."""

    head: bytes
    body: bytes

    @property
    def octets(self) -> bytes:
        return self.head + b"\r\n" + self.body


def _multipart(subtype: str, nodes: Sequence[_Node], **parameters: str) -> _Node:
    octets = [node.octets for node in nodes]
    # "=_" occurs neither in base64 nor in quoted-printable (RFC 2045 §6.7). Unencoded parts are searched for it.
    boundary = f"=_{secrets.token_hex(12)}"
    while any(boundary.encode() in one for one in octets):
        boundary = f"=_{secrets.token_hex(12)}"
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + one + b"\r\n" for one in octets) + line + b"--\r\n"
    eight_bit = b"" if body.isascii() else header_fields.structured("Content-Transfer-Encoding", "8bit")
    head = header_fields.structured("Content-Type", f"multipart/{subtype}", **parameters, boundary=boundary)
    return _Node(head + eight_bit, body)


def _text(text: str, subtype: str, for_signature: bool, **parameters: str) -> _Node:
    encoding, body = encode_text(text, for_signature)
    head = header_fields.structured(
        "Content-Type", f"text/{subtype}", charset="us-ascii" if encoding == "7bit" else "utf-8", **parameters
    )
    return _Node(head + header_fields.structured("Content-Transfer-Encoding", encoding), body)


def _file(attachment: Attachment, inline: bool, seven_bit: bool) -> _Node:
    content_type = attachment.content_type.lower()
    if not is_media_type(content_type) or content_type.startswith("multipart/"):
        content_type = OCTETS
    encoded = encode_message(attachment.octets) if content_type == "message/rfc822" else None
    if encoded is not None and seven_bit and encoded[0] != "7bit":
        encoded = None
    if encoded is None:
        if content_type.startswith("message/"):
            content_type = OCTETS
        encoded = encode_file(attachment.octets, content_type)
    parameters = {"charset": "utf-8"} if content_type.startswith("text/") and _is_utf8(attachment.octets) else {}
    head = header_fields.structured("Content-Type", content_type, **parameters)
    head += header_fields.structured("Content-Transfer-Encoding", encoded[0])
    disposition = "inline" if inline else "attachment"
    head += header_fields.structured("Content-Disposition", disposition, filename=attachment.name or "attachment")
    if inline and attachment.content_id:
        head += header_fields.message_ids("Content-ID", [attachment.content_id])
    return _Node(head, encoded[1])


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _body(draft: Draft, seven_bit: bool = False) -> _Node:
    """Return the body. @param seven_bit: so that a signature over it stays right on the way (RFC 3156 §3)."""
    text, html = draft.text, draft.html
    if draft.markdown is not None:
        text, html = draft.markdown, markdown_to_html(draft.markdown)
    inline = [one for one in draft.attachments if one.content_id and html is not None]
    attached = [one for one in draft.attachments if not (one.content_id and html is not None)]
    if draft.calendar is not None:
        method, calendar = draft.calendar
        # RFC 6047 §2.4: the parameter says what the object says.
        other = _text(calendar, "calendar", seven_bit, method=method)
        node = _multipart("alternative", [_text(text or "", "plain", seven_bit), other])
    elif html is None:
        node = _text(text or "", "plain", seven_bit)
    else:
        node = _text(html, "html", seven_bit)
        if inline:
            node = _multipart("related", [node, *(_file(one, True, seven_bit) for one in inline)], type="text/html")
        plain = html_to_text(html) if text is None else text
        node = _multipart("alternative", [_text(plain, "plain", seven_bit), node])
    if attached:
        node = _multipart("mixed", [node, *(_file(one, False, seven_bit) for one in attached)])
    return node


@dataclass(frozen=True, slots=True)
class Protected:
    """The functions that sign or encrypt the payload of a message: one of the two.

    @ivar sign: returns an armoured signature and the name of its hash for micalg.
    @ivar encrypt: returns the payload encrypted and armoured.
    """

    sign: Callable[[bytes], tuple[bytes, str]] | None = None
    encrypt: Callable[[bytes], bytes] | None = None


def message(draft: Draft, message_id: str, now: datetime, on_disk: bool, protected: Protected | None = None) -> bytes:
    """Encode a draft as octets.

    @param on_disk: for the folder Drafts: with the Bcc field and what the draft has no other field for.
    @param protected: signs or encrypts it. An encrypted message has its subject inside.
    @raise ComposeError: a header field is invalid.
    """
    out = inner = _fields(draft, message_id, now)
    if protected is None:
        node = _body(draft)
    elif protected.encrypt is not None:
        # RFC 9788 §3.2.1: the usual policy (hcp_baseline) replaces the subject outside.
        out = _fields(replace(draft, subject=HIDDEN_SUBJECT), message_id, now)
        node = _encrypted(protected.encrypt(_payload(draft, inner, out)))
    else:
        node = _signed(_payload(draft, inner, None), protected.sign)
    if on_disk and draft.bcc:
        out += header_fields.mailboxes("Bcc", draft.bcc)
    if on_disk:
        out += _kept(draft)
    return out + b"MIME-Version: 1.0\r\n" + node.octets


def _fields(draft: Draft, message_id: str, now: datetime) -> bytes:
    """Return the header fields that go out with the message, without those of MIME."""
    out = header_fields.unstructured("Date", date_time(now))
    if draft.sender is not None:
        out += header_fields.mailboxes("From", [draft.sender])
    for name, people in (("Reply-To", draft.reply_to), ("To", draft.to), ("Cc", draft.cc)):
        if people:
            out += header_fields.mailboxes(name, people)
    out += header_fields.unstructured("Subject", draft.subject)
    out += header_fields.message_ids("Message-ID", [message_id])
    if draft.in_reply_to:
        out += header_fields.message_ids("In-Reply-To", [draft.in_reply_to])
    if draft.references:
        out += header_fields.message_ids("References", draft.references)
    for name, value in draft.fields:
        out += header_fields.unstructured(header_fields.checked_name(name), value)
    return out


def _payload(draft: Draft, fields: bytes, outer: bytes | None) -> bytes:
    """Return the part that is signed or encrypted, with protected header fields (RFC 9788 §2).

    @param outer: the fields outside if it gets encrypted; None if it gets signed.
    """
    # A field in UTF-8 (RFC 6532) would be changed on the way.
    out = b"".join(one for one in _FIELD.findall(fields) if one.isascii())
    if outer is not None:
        out += b"".join(b"HP-Outer: " + one for one in _FIELD.findall(outer) if one.isascii())
    node = _body(draft, seven_bit=True)
    parameter = b'hp="clear"' if outer is None else b'hp="cipher"'
    fields_of_body: list[bytes] = _FIELD.findall(node.head)
    content_type, *others = fields_of_body
    return out + content_type[:-2] + b";\r\n " + parameter + b"\r\n" + b"".join(others) + b"\r\n" + node.body


def _signed(payload: bytes, sign: Callable[[bytes], tuple[bytes, str]] | None) -> _Node:
    """Return a multipart/signed (RFC 3156 §5)."""
    if sign is None:
        raise ComposeError("The message is neither to be signed nor to be encrypted.")
    signature, micalg = sign(payload)
    head, _, body = payload.partition(b"\r\n\r\n")
    kind = header_fields.structured("Content-Type", "application/pgp-signature")
    kind += header_fields.structured("Content-Disposition", "inline", filename="signature.asc")
    nodes = [_Node(head + b"\r\n", body), _Node(kind, _crlf(signature))]
    return _multipart("signed", nodes, protocol="application/pgp-signature", micalg=micalg)


def _encrypted(data: bytes) -> _Node:
    """Return a multipart/encrypted (RFC 3156 §4)."""
    control = _Node(header_fields.structured("Content-Type", "application/pgp-encrypted"), b"Version: 1\r\n")
    head = header_fields.structured("Content-Type", OCTETS)
    head += header_fields.structured("Content-Disposition", "inline", filename="encrypted.asc")
    nodes = [control, _Node(head, _crlf(data))]
    return _multipart("encrypted", nodes, protocol="application/pgp-encrypted")


def _crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _kept(draft: Draft) -> bytes:
    out = b"".join(header_fields.unstructured(AS_TYPED, f"{name}:{text}") for name, text in draft.as_typed)
    form = "markdown" if draft.markdown is not None else "html" if draft.text is None and draft.html is not None else ""
    if form:
        out += header_fields.unstructured(FORMAT_FIELD, form)
    words = protection_words(draft)
    return out + (header_fields.unstructured(PROTECT_FIELD, words) if words else b"")


def new_message_id(sender: Address | None, now: datetime) -> str:
    """Return a globally unique message id (RFC 5322 §3.6.4), without angle brackets."""
    domain = header_fields.wire_address(sender).domain if sender is not None else ""
    return f"{now:%Y%m%d%H%M%S}.{secrets.token_hex(10)}@{domain if domain.isascii() and domain else 'localhost'}"


def build(draft: Draft, now: datetime, protected: Protected | None = None) -> OutgoingMessage:
    """Build the message.

    @param now: the time for the Date field, with time zone.
    @param protected: signs or encrypts it.
    @raise ComposeError: the sender or every recipient is missing, or a header field is invalid.
    """
    for name, text in draft.as_typed:
        line = f"{name}: {text}" if name else text
        raise ComposeError(f"The line {header_fields.on_one_line(line)[:80]!r} cannot be used. Correct it first.")
    if draft.sender is None:
        raise ComposeError("The message has no sender. Add an address to From.")
    recipients = unique(one.address for one in (*draft.to, *draft.cc, *draft.bcc))
    if not recipients:
        raise ComposeError("The message has no recipient. Add one to To, Cc or Bcc.")
    message_id = draft.message_id or new_message_id(draft.sender.address, now)
    octets = message(draft, message_id, now, on_disk=False, protected=protected)
    reverse_path = header_fields.wire_address(draft.sender.address)
    header = octets[: octets.index(b"\r\n\r\n")]
    return OutgoingMessage(
        octets=octets,
        reverse_path=reverse_path,
        recipients=recipients,
        message_id=message_id,
        eight_bit=not octets.isascii(),
        smtputf8=not (header.isascii() and reverse_path.is_ascii and all(one.is_ascii for one in recipients)),
    )


def unique(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Return each address once, in order, in the form in which it is sent."""
    return tuple({one.key: one for one in map(header_fields.wire_address, addresses)}.values())
