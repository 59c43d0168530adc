"""The man pages emailsys(1) and emailsys-mail(1): every command and option, made from the help.

python -m tests.manual_pages writes the pages again.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

import emailsys
from emailsys.cli.command_group import first_sentence
from emailsys.cli.main import program
from emailsys.config.exit_status import MEANING

FOLDER: Final = Path(emailsys.__file__).parent.parent / "docs" / "man"
#: The pages by name, and the commands that each begins with.
PAGES: Final = {"emailsys": (), "emailsys-mail": ("mail",)}
_FILES: Final = {
    "emailsys": (
        ("/etc/emailsys/emailsys.toml", "The configuration. `emailsys config` prints an example."),
        ("/var/lib/emailsys", "The state folder, with the store."),
    ),
    "emailsys-mail": (
        ("$XDG_CONFIG_HOME/emailsys/mail.toml", "The accounts, without passwords."),
        ("$XDG_DATA_HOME/emailsys/mail", "The messages, one file each, and their index."),
        ("$XDG_STATE_HOME/emailsys", "What was fetched, and drafts that are being written."),
    ),
}


def page(name: str) -> str:
    """Return a page in roff."""
    command: click.Command = program
    ctx = _context(program, "emailsys", None)
    for word in PAGES[name]:
        assert isinstance(command, click.Group)
        child = command.get_command(ctx, word)
        assert child is not None
        command, ctx = child, _context(child, word, ctx)
    return "\n".join(_lines(name, command, ctx)) + "\n"


def _lines(name: str, command: click.Command, ctx: click.Context) -> Iterator[str]:
    about = first_sentence(_help(command)).rstrip(".")
    yield '.\\" Written by python -m tests.manual_pages from the help of the commands.'
    yield f'.TH {name.upper()} 1 "" emailsys'
    yield f".SH NAME\n{_text(name)} \\- {_text(about[0].lower() + about[1:])}"
    yield f".SH SYNOPSIS\n.B {_text(ctx.command_path)}\n{_text(' '.join(command.collect_usage_pieces(ctx)))}"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(_help(command))
    yield from _options(command, ctx, ".SH OPTIONS")
    yield ".SH COMMANDS"
    assert isinstance(command, click.Group)
    yield from _commands(command, ctx)
    if command.epilog and name != "emailsys":
        yield ".SH EXAMPLES"
        yield from _paragraphs(command.epilog)
    yield ".SH EXIT STATUS"
    for status, meaning in MEANING.items():
        yield f".TP\n{int(status)}\n{_text(meaning.replace('`', ''))}"
    yield ".SH FILES"
    for path, meaning in _FILES[name]:
        yield f".TP\n.I {_text(path)}\n{_text(meaning.replace('`', ''))}"
    others = [f".BR {_text(other)} (1)" for other in PAGES if other != name]
    yield "\n".join([".SH SEE ALSO", *others])


def _commands(group: click.Group, ctx: click.Context) -> Iterator[str]:
    for name in group.list_commands(ctx):
        child = group.get_command(ctx, name)
        assert child is not None
        inner = _context(child, name, ctx)
        if f"emailsys-{name}" in PAGES:
            yield f".SS {_text(inner.command_path)}\nSee\n.BR {_text(f'emailsys-{name}')} (1)."
        elif isinstance(child, click.Group):
            yield from _commands(child, inner)
        else:
            yield f".SS {_text(inner.command_path)} {_text(' '.join(child.collect_usage_pieces(inner)))}"
            yield from _paragraphs(_help(child))
            yield from _options(child, inner, ".PP")
            if child.epilog:
                yield from _paragraphs(child.epilog)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent, name, **command.context_settings)


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\f")[0]


def _options(command: click.Command, ctx: click.Context, heading: str) -> Iterator[str]:
    records = [
        record
        for one in command.get_params(ctx)
        if (one.name != "help" or heading != ".PP") and (record := one.get_help_record(ctx)) is not None
    ]
    if records:
        yield heading
    for names, meaning in filter(all, records):
        yield f".TP\n.B {_text(names)}\n{_text(meaning)}"


def _paragraphs(text: str) -> Iterator[str]:
    """Write paragraphs. Those that click leaves as they are begin with the character \\b."""
    for paragraph in textwrap.dedent(text.strip("\n")).split("\n\n"):
        marked, _, rest = paragraph.lstrip("\n").partition("\n")
        if marked.strip() == "\b":
            yield ".PP\n.RS 2\n.nf"
            # An example is as wide as it is written.
            for piece in rest.split("\n"):
                yield "" if piece.strip() in ("", "\b") else _text(piece)
            yield ".fi\n.RE"
        elif paragraph.strip():
            yield f".PP\n{_text(' '.join(paragraph.split()))}"


def _text(text: str) -> str:
    """Escape what roff would read as a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / f"{name}.1").write_text(page(name), "utf-8")
