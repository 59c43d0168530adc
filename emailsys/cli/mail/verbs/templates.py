"""Verbs for templates: list, show, write and remove; and the template of `compose`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.completions import complete_templates
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.client.base.local_text import local_text
from emailsys.config.exit_status import Exit

# A template begins with a header line or an empty one.
_HEAD: Final = re.compile(r"\ufeff?(?:[!-9;-~]+[ \t]*:|[ \t]*\r?\n)")

if TYPE_CHECKING:
    from emailsys.client.base.edited_file import EditedFile
    from emailsys.client.compose.draft import Draft
    from emailsys.client.compose.templates import Templates


@click.group("template", cls=Verbs)
def template() -> None:
    """List, show, write and remove templates of messages.

    A template is a text as in the editor of `compose`: header lines, an empty line, the text. {name}, {first_name} and
    {address} are those of the first recipient, {me} is your name, {subject} the subject, {date} the day. For any other
    field, such as {project}, `compose` takes --set, and the full screen asks (F5 while you write).

    \b
    emailsys mail template write offer
    emailsys mail compose bob@example.org --template offer --set project=Bridge
    """


@template.command("list")
@as_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the templates with their fields.

    \b
    emailsys mail template list
    """
    from emailsys.client.compose.templates import fields_of

    templates = session.mailbox.templates
    rows = [{"name": name, "fields": fields_of(templates.read(name))} for name in templates.names()]
    if as_json:
        print_json(rows)
        return
    lines = [{"name": one["name"], "fields": " ".join(map("{{{}}}".format, one["fields"]))} for one in rows]
    print_safe_rows(lines, "There is no template. Write one: emailsys mail template write NAME", cut=("fields",))


@template.command("show")
@click.argument("name", shell_complete=complete_templates)
@as_json
@pass_session
def show(session: Session, name: str, as_json: bool) -> None:
    """Print a template.

    \b
    emailsys mail template show offer
    """
    text = session.mailbox.templates.read(name)
    if as_json:
        print_json({"name": name, "text": text})
    else:
        click.echo(text, nl=not text.endswith("\n"))


@template.command("write")
@click.argument("name", shell_complete=complete_templates)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the template from standard input.")
@as_json
@pass_session
def write(session: Session, name: str, from_stdin: bool, as_json: bool) -> None:
    """Write a template in $VISUAL or $EDITOR, or change one.

    \b
    emailsys mail template write offer
    echo "Thank you, {first_name}." | emailsys mail template write thanks --stdin
    """
    templates = session.mailbox.templates
    if from_stdin:
        text = local_text(sys.stdin.buffer.read())
        # A text without header lines begins with an empty line.
        text = text if _HEAD.match(text) else f"\n{text}"
        templates.write(name, text)
    elif sys.stdin.isatty():
        _edit(session, name)
    else:
        raise Refused("There is no terminal for the editor. Use --stdin.", Exit.USAGE)
    if as_json:
        print_json({"name": name, "text": templates.read(name)})
    tell(f"The template {name} is saved. To use it: emailsys mail compose --template {name}")


def _edit(session: Session, name: str) -> None:
    """Let the user change the text of a template until it can be used. What was typed stays in a file until then."""
    from emailsys.cli.mail.ending_signals import EndedBySignal, ending_signals_raised
    from emailsys.client.base.edited_file import EditedFile
    from emailsys.client.compose.templates import SAMPLE

    templates = session.mailbox.templates
    file = EditedFile(session.mailbox.paths.state)
    file.write(templates.read(name) if name in templates.names() else SAMPLE)
    try:
        with ending_signals_raised():
            _edit_until_usable(templates, name, file)
    except EndedBySignal:
        # After SIGHUP, the terminal is gone, and nothing can be said.
        with suppress(OSError):
            tell(f"The template was not saved. What the editor has saved is in {file.path}, or beside it.")
        raise
    file.remove()


def _edit_until_usable(templates: Templates, name: str, file: EditedFile) -> None:
    from emailsys.cli.mail.editor_process import EditorFailed, run_editor
    from emailsys.client.compose.draft import ComposeError

    while True:
        try:
            run_editor(file.path)
            templates.write(name, file.read())
        except ComposeError as error:
            tell(str(error))
            if not click.confirm("Correct it in the editor?", default=True, err=True):
                raise Refused(f"The template was not saved. What you wrote is in {file.path}.", Exit.DATA) from None
        except (EditorFailed, OSError) as error:
            raise Refused(f"The editor failed: {error}. What you wrote is in {file.path}.", Exit.FAILED) from None
        else:
            return


@template.command("remove")
@click.argument("name", shell_complete=complete_templates)
@as_json
@pass_session
def remove(session: Session, name: str, as_json: bool) -> None:
    """Remove a template.

    \b
    emailsys mail template remove offer
    """
    session.mailbox.templates.remove(name)
    if as_json:
        print_json({"name": name})
    tell(f"The template {name} is removed.")


def apply_template(session: Session, draft: Draft, name: str, settings: Sequence[str]) -> Draft:
    """Return the draft of `compose` with a template in it. A field without a value stays, and is named.

    @param settings: NAME=VALUE for fields.
    """
    from emailsys.client.compose.templates import fields_of, known_values, read_template, with_template

    mailbox = session.mailbox
    text, expand = mailbox.templates.read(name), mailbox.contacts.expand
    values = known_values(draft, text, mailbox.now().astimezone(), expand)
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or field not in fields_of(text):
            there = ", ".join(fields_of(text)) or "none"
            raise Refused(f"--set {setting!r}: write FIELD=VALUE. Fields of the template: {there}", Exit.USAGE)
        values[field] = value
    if lacking := [one for one in fields_of(text) if one not in values]:
        tell(f"Fields without a value: {', '.join(lacking)}. Fill them in in the editor, or use --set FIELD=VALUE.")
    return with_template(draft, read_template(text, values, Path.cwd(), expand))
