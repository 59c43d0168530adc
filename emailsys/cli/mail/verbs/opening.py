"""Verbs that give a message to other programs: open, pipe and print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from emailsys.cli.mail.arguments import key_argument, message_of
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.display.message import MessageView, ReceivedAttachment
    from emailsys.client.opening.links import Link


def _view(session: Session, key: str, html: bool = False) -> MessageView:
    from emailsys.client.display.readable import readable_view

    archive = session.mailbox.archive
    opener = session.mailbox.opener(ask=True)
    return readable_view(archive.root, key, archive.octets(key), html, opener=opener)


def _part(session: Session, key: str, number: str) -> ReceivedAttachment:
    from emailsys.client.display.message import attachments, find_part

    octets, opener = session.mailbox.archive.octets(key), session.mailbox.opener(ask=True)
    files = attachments(octets, opener)
    # A sender chooses the names of files, and "1.3" is a name: numbers come first.
    numbered = next((one for one in files if one.number == number), None) or find_part(octets, number, opener)
    found = numbered or next((one for one in files if one.name == number), None)
    if found is None:
        raise Refused(f"The message has no link and no part {number}. To list them: --list", Exit.NO_INPUT)
    return found


@click.command("open")
@key_argument
@click.argument("what", required=False, metavar="[PART|LINK]")
@click.option("--list", "is_list", is_flag=True, help="List the links and the attachments, and open nothing.")
@click.option("--html", is_flag=True, help="Number the links as the HTML part shows them.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
@pass_session
def open_(session: Session, key: str, what: str | None, is_list: bool, html: bool, yes: bool, as_json: bool) -> int:
    """Open the HTML of a message in the browser, or one of its links or attachments.

    A number such as 3 is a link, as --list shows it; a number such as 1.2 or a file name is an attachment. A link is
    opened by $BROWSER or the system's program after a question that shows its whole target; a mailto: link opens your
    editor for a new message. The HTML is opened without
    scripts, forms, and pictures from the network. Programs are never opened.

    \b
    emailsys mail open KEY
    emailsys mail open KEY --list
    emailsys mail open KEY 3
    emailsys mail open KEY 1.2
    """
    from emailsys.client.opening.links import links_of

    found = message_of(session, key).key
    links = links_of(_view(session, found, html).body) if is_list or (what or "").isdecimal() else []
    if is_list:
        _list(session, found, links, as_json)
        return Exit.OK
    link = next((one for one in links if str(one.number) == what), None)
    if link is not None and link.target.lower().startswith("mailto:"):
        return _write_to(session, found, link.target, as_json)
    if what is None:
        opened = _open_html(session, found)
    elif link is not None:
        opened = _open_link(link, yes)
    else:
        opened = _open_part(session, _part(session, found, what), yes)
    if as_json:
        print_json({"key": found, "opened": opened})
    tell(f"Opened {opened}")
    return Exit.OK


def _write_to(session: Session, key: str, link: str, as_json: bool) -> int:
    """Write the message that a mailto: link asks for, in the editor."""
    from emailsys.cli.mail.editor_session import write

    mailbox = session.mailbox
    account = mailbox.account_for(mailbox.archive.get(key))
    draft = mailbox.letter(account, link)
    mailbox.sign(account, draft)
    return write(session, account, draft, as_json=as_json)


def _list(session: Session, key: str, links: list[Link], as_json: bool) -> None:
    from emailsys.client.display.message import attachments

    files = attachments(session.mailbox.archive.octets(key), session.mailbox.opener(ask=True))
    rows = [{"number": str(one.number), "kind": "link", "target": one.target} for one in links]
    rows += [{"number": one.number, "kind": one.content_type, "target": one.name} for one in files]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "The message has no links and no attachments.")


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question}\nThere is no terminal to answer. To open it all the same: --yes", Exit.USAGE)
    tell(question)
    if not click.confirm("Open it?", err=True):
        raise Refused("Nothing was opened.", Exit.FAILED)


def _open_html(session: Session, key: str) -> str:
    from emailsys.client.opening import private_files, programs
    from emailsys.client.opening.page import page_of

    page = page_of(session.mailbox.archive.octets(key), session.mailbox.opener(ask=True))
    octets = page.encode("utf-8", "replace")
    path = private_files.put(session.mailbox.paths.state, "message.html", octets, private_files.PRIVATE)
    programs.start(programs.for_link(str(path)))
    return str(path)


def _open_link(link: Link, yes: bool) -> str:
    from emailsys.client.opening import programs
    from emailsys.client.opening.links import checked, question

    target = checked(link.target)
    _ask(question(target), yes)
    programs.start(programs.for_link(target))
    return target


def _open_part(session: Session, part: ReceivedAttachment, yes: bool) -> str:
    from emailsys.client.opening import private_files, programs, risks

    content = part.content()
    if refused := risks.refusal(part.name, part.content_type, content):
        raise Refused(refused, Exit.DATA)
    if warning := risks.warning(part.name, part.content_type):
        _ask(warning, yes)
    path = private_files.put(session.mailbox.paths.state, part.name, content, private_files.READ_ONLY)
    programs.start(programs.for_file(str(path)))
    return str(path)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--part", "number", metavar="NUMBER", help="Give it one part, such as 1.2, decoded.")
@as_json
@key_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_session
def pipe(session: Session, key: str, command: tuple[str, ...], number: str | None, as_json: bool) -> None:
    """Give a message as it was received, or one part, to a command. There is no shell. Options come before KEY.

    What the command prints is made safe for a terminal.

    \b
    emailsys mail pipe KEY git am
    emailsys mail pipe --part 1.2 KEY wc -l
    """
    from emailsys.client.opening import programs
    from emailsys.client.text.terminal import safe_text

    found = message_of(session, key).key
    octets = session.mailbox.archive.octets(found) if number is None else _part(session, found, number).content()
    printed = programs.feed(command, octets)
    if as_json:
        print_json({"key": found, "command": list(command), "printed": printed.decode("utf-8", "replace")})
    elif sys.stdout.isatty():
        click.echo(safe_text(printed.decode("utf-8", "replace")), nl=False)
    else:
        sys.stdout.buffer.write(printed)
        sys.stdout.buffer.flush()


@click.command("print")
@key_argument
@click.option("--command", "line", default="lp", show_default=True, help="The command that prints, with its words.")
@as_json
@pass_session
def print_(session: Session, key: str, line: str, as_json: bool) -> None:
    """Print a message as text: the command gets it in UTF-8 on its standard input.

    \b
    emailsys mail print KEY
    emailsys mail print KEY --command 'lp -d office -o sides=two-sided-long-edge'
    """
    from emailsys.client.opening import programs
    from emailsys.client.opening.printing import printed

    found = message_of(session, key).key
    said = programs.feed(programs.words_of(line), printed(_view(session, found)))
    if as_json:
        print_json({"key": found, "command": line, "printed": True})
    if said.strip():
        tell(said.decode("utf-8", "replace").strip())
