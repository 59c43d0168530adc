"""Text form of a draft for the user's own editor: writing and parsing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from emailsys.client.compose.attachments import attach
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.header_fields import checked_name, on_one_line
from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes

_LINE: Final = re.compile(r"([!-9;-~]+)[ \t]*:[ \t]*(.*)")
# An existing attachment of the draft: its number and, for the reader, its name.
_PRESENT: Final = re.compile(r"#(\d{1,4})\b.*")


def to_text(draft: Draft) -> str:
    """Write a draft as header lines, an empty line and the body.

    A line "Attach: PATH" adds a file. To remove an attachment, the user deletes its line "Attach: #1 ...".
    """

    def people(mailboxes: list[Mailbox]) -> str:
        return ", ".join(map(str, mailboxes))

    lines = [
        f"From: {draft.sender if draft.sender else ''}",
        f"To: {people(draft.to)}",
        f"Cc: {people(draft.cc)}",
        f"Bcc: {people(draft.bcc)}",
        f"Subject: {on_one_line(draft.subject)}",
    ]
    if draft.reply_to:
        lines.append(f"Reply-To: {people(draft.reply_to)}")
    lines += [f"{name}: {on_one_line(value)}" for name, value in draft.fields]
    lines += [f"Attach: #{number} {on_one_line(one.name)}" for number, one in enumerate(draft.attachments, 1)]
    if draft.markdown is not None:
        lines.append("Format: markdown")
    elif draft.text is None and draft.html is not None:
        lines.append("Format: html")
    return "\n".join(lines) + "\n\n" + draft.body


def _people(name: str, value: str) -> list[Mailbox]:
    try:
        return parse_mailboxes(value)
    except AddressSyntaxError as wrong:
        raise ComposeError(f"{name}: {wrong}") from None


def from_text(text: str, draft: Draft, folder: Path) -> Draft:
    """Parse the edited text of a draft.

    @param draft: the draft before editing. Values that the text does not show, such as its conversation, stay.
    @param folder: base of relative attachment paths.
    @raise ComposeError: a line above the first empty line is invalid, or a file cannot be read.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    head, _, body = ("", "", text[1:]) if text.startswith("\n") else text.partition("\n\n")
    edited = replace(
        draft, sender=None, to=[], cc=[], bcc=[], reply_to=[], subject="", fields=[], attachments=[],
        text=None, html=None, markdown=None,
    )  # fmt: skip
    written_as = "text"
    for line in re.sub(r"\n[ \t]+", " ", head).split("\n"):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ComposeError(
                f"The line {line.strip()[:80]!r} is not a header field. "
                "Write NAME: VALUE, or put an empty line before the text of the message."
            )
        name, value = found[1], found[2].strip()
        match name.lower():
            case "from":
                edited.sender = next(iter(_people(name, value)), None)
            case "to":
                edited.to += _people(name, value)
            case "cc":
                edited.cc += _people(name, value)
            case "bcc":
                edited.bcc += _people(name, value)
            case "reply-to":
                edited.reply_to += _people(name, value)
            case "subject":
                edited.subject = value
            case "attach":
                _attach(draft, edited, value, folder)
            case "format":
                written_as = value.lower()
            case _:
                edited.fields.append((checked_name(name), value))
    if written_as == "markdown":
        edited.markdown = body
    elif written_as == "html":
        edited.html = body
    elif written_as == "text":
        edited.text = body
    else:
        raise ComposeError(f"Format: {written_as!r} is not a format. Write text, markdown or html.")
    return edited


def _attach(draft: Draft, edited: Draft, value: str, folder: Path) -> None:
    if present := _PRESENT.fullmatch(value):
        number = int(present[1])
        if not 1 <= number <= len(draft.attachments):
            raise ComposeError(f"Attach: the draft has no attachment #{number}. Write the path of a file instead.")
        edited.attachments.append(draft.attachments[number - 1])
    elif value:
        edited.attachments.append(attach(folder / Path(value).expanduser()))
