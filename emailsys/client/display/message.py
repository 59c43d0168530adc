"""View of a message: header fields, text and attachments, all safe for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.protected_headers import other_author, protected_fields
from emailsys.client.crypto.values import DecryptionState, Layer, Opened, SignatureState
from emailsys.client.display.list_text import size_text
from emailsys.client.display.picture_size import picture_text
from emailsys.client.display.protection import Told, frame_of, protection_of
from emailsys.client.display.report_text import above, report_text
from emailsys.client.text.file_names import numbered, safe_name
from emailsys.client.text.message_text import plain_text, read_text
from emailsys.client.text.terminal import safe_line, safe_text
from emailsys.mail.message.authorship import unauthenticated_by
from emailsys.mail.message.contents import Contents, contents
from emailsys.mail.message.defects import field_defects, message_defects
from emailsys.mail.message.fields import decode_words
from emailsys.mail.message.mime import Part, parse
from emailsys.mail.message.structure import Row, structure

#: The header fields that are shown by default, in this order.
SHOWN_FIELDS: Final = ("From", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject")
# Characters shown of one part. The raw message has all of them and can be saved.
MAX_SHOWN: Final = 2_000_000
_MAX_FIELD: Final = 4_000
_MAX_DEFECTS: Final = 50
# Characters of a name that no file can have.
_MAX_ODD_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class ReceivedAttachment:
    """An attachment of a received message.

    `number` is the part number in the structure. `name` is safe for the disk and the terminal. `octets` is the
    decoded size. `inline` tells whether the HTML shows it. `defects` are those of its transfer encoding. `picture` is
    the size of a picture in pixels, as text.
    """

    number: str
    name: str
    content_type: str
    octets: int
    inline: bool
    part: Part
    defects: tuple[str, ...] = ()
    picture: str = ""

    @property
    def kind(self) -> str:
        """Content type, size, and the size of a picture, for a line."""
        pixels = f", {self.picture}" if self.picture else ""
        return f"{self.content_type}, {size_text(self.octets)}{pixels}"

    def content(self) -> bytes:
        """Return the decoded octets, or the raw octets of a message inside or a multipart."""
        if self.part.is_leaf:
            return self.part.decoded()[0]
        return self.part.raw if self.part.is_message else self.part.header + self.part.raw


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message ready to be shown. All text is safe for a terminal.

    @ivar warnings: what the reader has to know before the text, such as that the author is not verified.
    @ivar notes: what was checked and is right, such as a signature.
    @ivar protection: the layers of signatures and encryption.
    """

    headers: tuple[tuple[str, str], ...]
    body: str
    attachments: tuple[ReceivedAttachment, ...]
    defects: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    protection: tuple[Layer, ...] = ()

    @property
    def is_locked(self) -> bool:
        """Whether a passphrase would show more of the message."""
        return any(layer.decryption is DecryptionState.LOCKED for layer in self.protection)


_EXTENSIONS: Final = {
    "message/rfc822": ".eml",
    "message/global": ".u8msg",
    "text/plain": ".txt",
    "text/html": ".html",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "application/pdf": ".pdf",
    "text/calendar": ".ics",
    "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/partial": ".eml",
    "message/rfc822-headers": ".txt",
    "text/rfc822-headers": ".txt",
}


def _attached(part: Part, is_inline: bool) -> ReceivedAttachment:
    decoded, defects = part.decoded() if part.is_leaf else (part.raw, [])
    extension = _EXTENSIONS.get(part.content_type, ".bin")
    given = f" ({safe_line(part.name)[:_MAX_ODD_NAME]})" if part.name.strip() else ""
    # Nothing of a name such as ".." is safe on a disk. It is shown all the same.
    is_odd = safe_name(part.name, "?") == "?"
    name = safe_name(f"part-{part.number}{given}{extension}" if is_odd else part.name)
    kind = safe_line(part.content_type)
    picture = picture_text(decoded) if part.content_type.startswith("image/") else ""
    return ReceivedAttachment(
        part.number, safe_line(name), kind, len(decoded), is_inline, part, tuple(defects), picture
    )


def attachments(octets: bytes, opener: Opener | None = None) -> list[ReceivedAttachment]:
    """Return all attachments of a message, with inline pictures, and with messages inside as one file each."""
    return _files_of(contents(_opened(parse(octets), opener).root))


def find_part(octets: bytes, number: str, opener: Opener | None = None) -> ReceivedAttachment | None:
    """Return any part of a message by its number, as a file; None if the message has no such part.

    A message or a multipart is returned as its raw octets, a multipart with its header section.
    """
    part = _part(octets, number, opener)
    return None if part is None else _attached(part, False)


def _part(octets: bytes, number: str, opener: Opener | None) -> Part | None:
    """Find a part by its number: as it was received, or else decrypted."""
    found = next((one for one in parse(octets).walk() if one.number == number), None)
    if found is not None or opener is None:
        return found
    return next((one for one in opener.open(parse(octets)).root.walk() if one.number == number), None)


def _opened(root: Part, opener: Opener | None) -> Opened:
    return Opened(root) if opener is None else opener.open(root)


def view_part(octets: bytes, number: str, opener: Opener | None = None) -> MessageView | None:
    """Return the view of one part: a message inside, or a text; None if there is no such part."""
    part = _part(octets, number, opener)
    if part is None:
        return None
    is_root = number == "1"
    if part.is_message:
        return view(part.raw if part.parts else part.decoded()[0], opener=opener)
    defects = [*part.defects, *field_defects(part.fields, is_message=False)]
    text = report_text(part)
    if part.content_type.startswith("text/") and part.is_leaf:
        text, wrong = plain_text(part, MAX_SHOWN)
        defects += wrong
    elif not part.is_leaf:
        return view(part.header + part.raw, opener=opener)
    elif not text and part.content_type.startswith("message/"):
        # Such as the header of a returned message.
        text = part.text()[0][:MAX_SHOWN]
    elif not text:
        size = len(part.decoded()[0])
        text = f"(Part {number} is {part.content_type} of {size:,} octets, which has no text. Save it to open it.)"
    fields = [(safe_line(one.name), safe_line(one.decoded[:_MAX_FIELD])) for one in part.fields if not is_root]
    return MessageView(tuple(fields), safe_text(text), (), tuple(safe_line(one) for one in defects))


def _files_of(found: Contents) -> list[ReceivedAttachment]:
    shown = {id(part) for part in found.inline}
    return [_attached(part, id(part) in shown) for part in found.attachments]


def save_attachment(attached: ReceivedAttachment, folder: Path, name: str | None = None) -> Path:
    """Write an attachment into a folder under its safe name, and return the path.

    Never overwrites a file: if the name exists, a number is added to it.

    @param name: another name, which is made safe as well.
    @raise OSError: the file cannot be written. No partial file remains.
    """
    wanted = safe_name(name if name is not None else attached.name)
    number = 1
    while True:
        path = folder / (wanted if number == 1 else numbered(wanted, number))
        try:
            # These flags never follow an existing link and never write into an existing file.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            number += 1
            continue
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(attached.content())
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path


def view(octets: bytes, html: bool = False, opener: Opener | None = None) -> MessageView:
    """Return the view of a message.

    @param html: convert the HTML part to text, if the message has one.
    @param opener: opens protected parts; None to leave them closed, and their signatures unchecked.
    """
    root = parse(octets)
    opened = _opened(root, opener)
    protected = protected_fields(opened)
    headers = [
        (name, safe_line(value[:_MAX_FIELD]))
        for name in SHOWN_FIELDS
        if (value := decode_words(protected[name] if name in protected else root.text_of(name)).strip())
    ]
    is_parted = any(not layer.is_whole for layer in opened.layers)

    def framed(part: Part) -> str:
        return frame_of(opened.covering.get(id(part), ())) if is_parted else ""

    body, defects, found = read_text(root, MAX_SHOWN, html, framed=framed, names_pictures=True)
    body = above(report_text(root), body)
    defects = [f"part {part.number}: {one}" for part, wrong in message_defects(root) for one in wrong] + defects
    defects += [f"the {name} field is missing" for name in ("From", "Date") if root.first(name) is None]
    files = _files_of(found)
    defects = [*dict.fromkeys(defects + [f"part {file.number}: {one}" for file in files for one in file.defects])]
    if len(defects) > _MAX_DEFECTS:
        defects = [*defects[:_MAX_DEFECTS], f"and {len(defects) - _MAX_DEFECTS} more"]
    told = [*_warnings(opened), *protection_of(opened)]
    return MessageView(
        headers=tuple(headers),
        body=safe_text(body),
        attachments=tuple(files),
        defects=tuple(safe_line(one) for one in defects),
        warnings=tuple(one.text for one in told if not one.is_good),
        notes=tuple(one.text for one in told if one.is_good),
        protection=tuple(opened.layers),
    )


def _warnings(opened: Opened) -> Iterator[Told]:
    if (host := unauthenticated_by(opened.root)) is not None:
        yield _unverified(opened, safe_line(host))
    if author := other_author(opened):
        yield Told(f"The protected From is another one: {safe_line(decode_words(author)[:_MAX_FIELD])}.")


def _unverified(opened: Opened, host: str) -> Told:
    """Return what to think of the author if the client did not log in: a good signature shows who wrote the text."""
    signatures = [one for layer in opened.layers if layer.is_whole for one in layer.signatures]
    if not any(one.state is SignatureState.GOOD for one in signatures):
        return Told(
            f"The author is not verified: From is an address of {host}, but the message came from a client that did "
            "not log in there. Anybody may have written it."
        )
    came = f"The message came from a client that did not log in at {host}. The signature shows who wrote the text"
    if "Subject" in protected_fields(opened):
        return Told(f"{came} and the subject.", is_good=True)
    return Told(f"{came}, but not who wrote the subject.")


def all_headers(octets: bytes) -> Sequence[tuple[str, str]]:
    """Return every header field in order, decoded and safe for a terminal."""
    return [(safe_line(one.name), safe_line(one.decoded)) for one in parse(octets).fields]


def raw(octets: bytes) -> str:
    """Return the unparsed message, safe for a terminal. Octets that are not UTF-8 become U+FFFD."""
    return safe_text(octets.decode("utf-8", "replace"))


def safe_structure(octets: bytes, opener: Opener | None = None) -> list[Row]:
    """Return the MIME structure of a message with all text safe for a terminal. Decrypted parts are numbered N.0."""
    return [
        Row(
            row.number,
            row.level,
            safe_line(row.content_type),
            safe_line(row.charset),
            safe_line(row.encoding),
            row.raw_octets,
            row.decoded_octets,
            row.overhead,
            safe_line(row.name),
            safe_line(row.content_id),
            row.links,
            tuple(safe_line(one) for one in row.defects),
            tuple(safe_line(one) for one in row.notes),
        )
        for row in structure(_opened(parse(octets), opener).root)
    ]
