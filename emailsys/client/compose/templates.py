"""Templates of messages: files in the form of the editor's text, with fields such as {name} that are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from emailsys.client.accounts.values import Encrypt
from emailsys.client.archive.files import rewrite
from emailsys.client.base.folders import make_folder
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.editor_text import from_text, to_text
from emailsys.client.compose.signature import above_signature
from emailsys.client.text.file_names import safe_name
from emailsys.mail.message.mailboxes import Mailbox

#: The beginning of a template that is written in the editor.
SAMPLE: Final = "Subject: \n\nHello {first_name},\n\n"
_FIELD: Final = re.compile(r"\{([a-z][a-z0-9_]{0,39})\}")
_EMPTY: Final = re.compile(r"[A-Za-z-]+: ")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# A value that can stand anywhere, also in the place of an address.
_ANY: Final = "x@x.example"
_SUFFIX: Final = ".txt"
# Characters of a name, and octets of a template.
_LONGEST: Final = 60
_MAX_OCTETS: Final = 1_000_000


class Templates:
    """The templates of a user, one file each. Methods block."""

    def __init__(self, folder: Path, expand: Callable[[str], str] = lambda people: people) -> None:
        """@param expand: replaces short names in a list of addresses."""
        self._folder = folder
        self._expand = expand

    def names(self) -> list[str]:
        """Return the names, in order. @raise ComposeError: the folder cannot be read."""
        try:
            found = [path.name.removesuffix(_SUFFIX) for path in self._folder.iterdir() if path.name.endswith(_SUFFIX)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ComposeError(f"{self._folder}: {error.strerror}") from None
        return sorted((name for name in found if not name.startswith(".")), key=str.casefold)

    def read(self, name: str) -> str:
        """Return a template. @raise ComposeError: there is none of that name, or it cannot be read."""
        path = self._path(name)
        try:
            return path.read_bytes()[:_MAX_OCTETS].decode("utf-8", "replace").replace("\r\n", "\n")
        except FileNotFoundError:
            there = ", ".join(self.names())
            hint = f"There are: {there}" if there else "There is none yet. Write one: emailsys mail template write NAME"
            raise ComposeError(f"There is no template {name!r}. {hint}") from None
        except OSError as error:
            raise ComposeError(f"{path}: {error.strerror}") from None

    def write(self, name: str, text: str) -> None:
        """Write a template, in place of one of that name.

        @raise ComposeError: the name cannot be that of a file, or a line above the text cannot be used.
        @raise ArchiveError: the file cannot be written.
        """
        path = self._path(name)
        # What cannot be used is told now. The values of fields come later.
        _parsed(filled(text, dict.fromkeys(fields_of(text), _ANY)), path.parent, self._expand)
        make_folder(path.parent)
        rewrite(path, text.encode("utf-8", "replace"))

    def remove(self, name: str) -> None:
        """Remove a template. @raise ComposeError: there is none of that name."""
        self.read(name)
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise ComposeError(f"{self._path(name)}: {error.strerror}") from None

    def checked(self, name: str) -> str:
        """Return the name that the user typed. @raise ComposeError: it cannot be that of a file."""
        name = name.strip()
        self._path(name)
        return name

    def _path(self, name: str) -> Path:
        if not name or len(name) > _LONGEST or safe_name(f"{name}{_SUFFIX}") != f"{name}{_SUFFIX}":
            raise ComposeError(f"{name!r} cannot be the name of a template. Use letters, digits, blanks, - and _.")
        return self._folder / f"{name}{_SUFFIX}"


def fields_of(text: str) -> list[str]:
    """Return the names of the fields in a template, each once, in order."""
    return list(dict.fromkeys(_FIELD.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill in fields. One without a value stays as it is. A value is one line, so that it adds no header field."""
    return _FIELD.sub(lambda found: _one_line(values[found[1]]) if found[1] in values else found[0], text)


def _one_line(value: str) -> str:
    return " ".join(_CONTROL.sub(" ", value).split())


def known_values(draft: Draft, text: str, now: datetime, expand: Callable[[str], str]) -> dict[str, str]:
    """Return the values of the fields that need no question: the first recipient, the user, the subject, the day.

    @param draft: the message into which the template goes.
    @param now: the current moment, in the user's time zone.
    """
    values = {"date": f"{now:%Y-%m-%d}", "subject": draft.subject}
    if draft.sender is not None:
        values["me"] = draft.sender.name or str(draft.sender.address)
    person = next(iter(draft.to), None)
    if person is None:
        unfilled = _parsed(filled(text, dict.fromkeys(fields_of(text), _ANY)), Path(), expand, with_files=False)
        person = next((one for one in unfilled.to if str(one.address) != _ANY and _ANY not in one.name), None)
    if person is not None:
        name = person.name or person.address.local
        values |= {
            "name": name,
            "first_name": name.split()[0] if name.split() else name,
            "address": str(person.address),
        }
    return {name: value for name, value in values.items() if value}


def read_template(text: str, values: Mapping[str, str], folder: Path, expand: Callable[[str], str]) -> Draft:
    """Return a template as a draft, with its fields filled in. Blocks: it reads the files that the template attaches.

    @param folder: base of relative attachment paths.
    @param expand: replaces short names in a list of addresses.
    @raise ComposeError: a line of the template cannot be used, or a file cannot be read.
    """
    return _parsed(filled(text, values), folder, expand)


def with_template(draft: Draft, new: Draft) -> Draft:
    """Return a draft with a template in it: its recipients and files are added, and its text comes before the draft's.

    What the draft has already, such as a subject, stays.

    @param new: the template, as `read_template` returns it.
    """
    result = replace(
        draft,
        sender=new.sender or draft.sender,
        to=_joined(draft.to, new.to),
        cc=_joined(draft.cc, new.cc),
        bcc=_joined(draft.bcc, new.bcc),
        reply_to=_joined(draft.reply_to, new.reply_to),
        subject=draft.subject or new.subject,
        fields=[*draft.fields, *(one for one in new.fields if one not in draft.fields)],
        attachments=[*draft.attachments, *new.attachments],
        sign=draft.sign or new.sign,
        # In the order of how much they protect: a template takes nothing away.
        encrypt=max(draft.encrypt, new.encrypt, key=[*Encrypt].index),
    )
    shape = draft if draft.body.strip() else new
    form = (
        "markdown"
        if shape.markdown is not None
        else "html"
        if shape.html is not None and shape.text is None
        else "text"
    )
    below = draft.body.lstrip("\n")
    body = f"{new.body.rstrip()}\n\n{below}" if below.strip() else f"{new.body.rstrip()}\n"
    result.text, result.html, result.markdown = None, None, None
    setattr(result, form, body)
    return result


def as_template(draft: Draft, signature: str) -> str:
    """Return a message as a template: without its sender, its signature and its attachments."""
    plain = replace(draft, sender=None, attachments=[], sign=False, encrypt=Encrypt.NEVER)
    head = to_text(plain).partition("\n\n")[0]
    lines = [line for line in head.split("\n") if not _EMPTY.fullmatch(line)]
    return "\n".join(lines) + "\n\n" + above_signature(draft.body, signature).rstrip("\n") + "\n"


def _joined(first: Sequence[Mailbox], more: Iterable[Mailbox]) -> list[Mailbox]:
    known = {one.address.key for one in first}
    return [*first, *(one for one in more if one.address.key not in known)]


def _parsed(text: str, folder: Path, expand: Callable[[str], str], with_files: bool = True) -> Draft:
    if not with_files:
        head, blank, body = text.partition("\n\n")
        text = "\n".join(one for one in head.split("\n") if not one.lower().startswith("attach:")) + blank + body
    return from_text(text, Draft(), folder, expand=expand)
