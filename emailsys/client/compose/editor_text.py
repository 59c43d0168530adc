"""Text form of a draft for the user's own editor: writing and parsing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from emailsys.client.accounts.values import Encrypt
from emailsys.client.compose.attachments import attach
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.header_fields import checked_name, on_one_line
from emailsys.client.compose.protection_words import protection_words, set_protection
from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes

_LINE: Final = re.compile(r"([!-9;-~]+)[ \t]*:[ \t]*(.*)")
# An existing attachment of the draft: its number and, for the reader, its name.
_PRESENT: Final = re.compile(r"#(\d{1,4})\b.*")
_PEOPLE: Final = frozenset({"to", "cc", "bcc", "reply-to"})


def to_text(draft: Draft) -> str:
    """Write a draft as header lines, an empty line and the body.

    A line "Protect: sign encrypt" has it signed and encrypted. A line "Attach: PATH" adds a file.
    To remove an attachment, the user deletes its line "Attach: #1 ...".
    """

    others = [(name, text) for name, text in draft.as_typed if name.lower() not in _PEOPLE]
    lines = [
        f"From: {draft.sender if draft.sender else ''}",
        f"To: {draft.typed('To')}",
        f"Cc: {draft.typed('Cc')}",
        f"Bcc: {draft.typed('Bcc')}",
        f"Subject: {on_one_line(draft.subject)}",
    ]
    if draft.typed("Reply-To"):
        lines.append(f"Reply-To: {draft.typed('Reply-To')}")
    if draft.sender is None and any(name.lower() == "from" for name, _ in others):
        del lines[0]
    lines += [f"{name}: {text}" if name else text for name, text in others]
    lines += [f"{name}: {on_one_line(value)}" for name, value in draft.fields]
    if words := protection_words(draft):
        lines.append(f"Protect: {words}")
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


def from_text(
    text: str, draft: Draft, folder: Path, lenient: bool = False, expand: Callable[[str], str] = lambda text: text
) -> Draft:
    """Parse the edited text of a draft.

    @param draft: the draft before editing. Values that the text does not show, such as its conversation, stay.
    @param folder: base of relative attachment paths.
    @param expand: replaces short names in a list of addresses.
    @param lenient: keep lines that cannot be used as they were typed, in `as_typed`.
    @raise ComposeError: not lenient, and a line above the first empty line is invalid, or a file cannot be read.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    head, _, body = ("", "", text[1:]) if text.startswith("\n") else text.partition("\n\n")
    edited = replace(
        draft, sender=None, to=[], cc=[], bcc=[], reply_to=[], subject="", fields=[], attachments=[],
        text=None, html=None, markdown=None, as_typed=[], sign=False, encrypt=Encrypt.NEVER,
    )  # fmt: skip
    form = "text"
    for line in re.sub(r"\n[ \t]+", " ", head).split("\n"):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        name, value = (found[1], found[2].strip()) if found is not None else ("", line.strip())
        try:
            if name.lower() == "format":
                form = _form(value)
            else:
                _read_line(name, expand(value) if name.lower() in _PEOPLE else value, draft, edited, folder)
        except ComposeError:
            if not lenient:
                raise
            edited.as_typed.append((name, value))
    setattr(edited, form, body)
    return edited


def _form(value: str) -> str:
    if value.lower() not in ("text", "markdown", "html"):
        raise ComposeError(f"Format: {value!r} is not a format. Write text, markdown or html.")
    return value.lower()


def _read_line(name: str, value: str, draft: Draft, edited: Draft, folder: Path) -> None:
    match name.lower():
        case "":
            raise ComposeError(
                f"The line {value[:80]!r} is not a header field. "
                "Write NAME: VALUE, or put an empty line before the text of the message."
            )
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
        case "protect":
            set_protection(edited, value)
        case "attach":
            _attach(draft, edited, value, folder)
        case _:
            edited.fields.append((checked_name(name), value))


def _attach(draft: Draft, edited: Draft, value: str, folder: Path) -> None:
    if present := _PRESENT.fullmatch(value):
        number = int(present[1])
        if not 1 <= number <= len(draft.attachments):
            raise ComposeError(f"Attach: the draft has no attachment #{number}. Write the path of a file instead.")
        edited.attachments.append(draft.attachments[number - 1])
    elif value:
        edited.attachments.append(attach(Path(value), base=folder))
