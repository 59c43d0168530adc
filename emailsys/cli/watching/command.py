"""Options of the command `watch`, and its output as lines and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from emailsys.cli.active_config import daemon_status
from emailsys.cli.command_group import examples
from emailsys.cli.exporting import export_option, write_page
from emailsys.cli.options import Places, Refused, places
from emailsys.cli.watching.conversations import Filter, Heard, Watched
from emailsys.cli.watching.plain_lines import PlainLines
from emailsys.config.exit_status import Exit
from emailsys.control.control_socket import ControlFailed, NoDaemon
from emailsys.control.watching import watch as stream_of
from emailsys.wiretap.conversation import Event

_EXAMPLES = """
emailsys watch
emailsys watch peer:192.0.2.7 protocol:smtp
emailsys watch --plain --explain
emailsys watch --plain --once --last 3
emailsys watch --json | jq 'select(.event.kind == "verdict")'
emailsys watch --export page.html peer:192.0.2.7
"""

Lines = Iterator[Mapping[str, Any]]


@click.command(epilog=examples(_EXAMPLES))
@click.argument("words", metavar="[FILTER]...", nargs=-1)
@click.option("--plain", is_flag=True, help="Print one line for each event, instead of the full screen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each event.")
@click.option("--explain", is_flag=True, help="Print what each line means below it.")
@click.option("--once", is_flag=True, help="Print the conversations that are recorded already, and end.")
@click.option(
    "--last",
    default=20,
    show_default=True,
    type=click.IntRange(0, 100_000),
    metavar="N",
    help="Begin with the newest N recorded conversations.",
)
@export_option
@places
def watch(
    where: Places,
    words: tuple[str, ...],
    plain: bool,
    as_json: bool,
    explain: bool,
    once: bool,
    last: int,
    page: Path | None,
) -> int:
    """Show the daemon's conversations as they happen: SMTP, submission, POP3 and outbound mail.

    Connections that begin while you watch are recorded, without passwords and messages. With `wiretap.enabled` the
    daemon records all the time.

    On a terminal it is a full screen: / filters, Space pauses, F follows the newest conversation, N jumps to the next
    decision, login, commit or refusal, L draws it as a ladder between client and server, E explains each line,
    Q quits.

    In plain lines, < is what the peer sent, > what this host sent, and * what happened: a state, a decision, a login
    or a commit.

    FILTER chooses conversations: protocol:smtp, peer:192.0.2.7, role:client, or words that occur in them.

    With --export, a page draws and explains recorded conversations, at most 50, and the command ends.
    """
    if plain and as_json:
        raise click.UsageError("--plain and --json exclude each other.")
    if page is not None and (plain or as_json):
        raise click.UsageError("--export excludes --plain and --json.")
    wanted = Filter.parse(words)
    lines = lines_of(where, last)
    if page is not None:
        return _export(lines, wanted, page)
    if as_json:
        return _print_json(lines, wanted, once)
    if plain or once or explain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _print_plain(lines, wanted, once, explain)
    from emailsys.cli.watching.program import run

    return run(lines, words)


def lines_of(where: Places, past: int) -> Lines:
    """Yield the lines of the daemon's stream.

    @raise Refused: no daemon runs, it does not permit this, or it has ended.
    """
    # Waits for a daemon that is still starting, and says which store it uses.
    if daemon_status(where) is None:
        raise Refused(f"no daemon runs with the state folder {where.folder}.", Exit.UNAVAILABLE)
    try:
        yield from stream_of(where.folder, past)
    except NoDaemon:
        raise Refused(f"no daemon runs with the state folder {where.folder}.", Exit.UNAVAILABLE) from None
    except ControlFailed as error:
        raise Refused(f"{error}.", Exit.UNAVAILABLE) from None


def _follow(lines: Lines, once: bool, show: Callable[[Mapping[str, Any], Heard], None]) -> Heard:
    """Pass each line on. With `once`, return after the conversations of the past.

    @raise Refused: the daemon is of another release, whose lines mean nothing here.
    """
    heard = Heard()
    for line in lines:
        try:
            show(line, heard)
        except ValueError:
            raise Refused("the daemon sent a reply that this release does not understand.", Exit.UNAVAILABLE) from None
        if once and heard.is_live:
            break
    return heard


def _print(lines: Lines, once: bool, show: Callable[[Mapping[str, Any], Heard], None]) -> int:
    heard = _follow(lines, once, show)
    if once and not heard.conversations:
        click.echo("emailsys: nothing is recorded. Set wiretap.enabled, or watch without --once.", err=True)
    return Exit.OK


def _export(lines: Lines, wanted: Filter, page: Path) -> int:
    # Imported here, because the templates take longer to import than the rest of the command.
    from emailsys.cli.watching.page import page_of_conversations

    def remember(line: Mapping[str, Any], heard: Heard) -> None:
        heard.take(line)

    heard = _follow(lines, True, remember)
    found = [watched for watched in heard.conversations.values() if wanted.takes(watched)]
    if not found:
        raise Refused("no recorded conversation fits. Set wiretap.enabled to record them all.", Exit.FAILED)
    write_page(page, page_of_conversations(found))
    return Exit.OK


def _print_json(lines: Lines, wanted: Filter, once: bool) -> int:
    def show(line: Mapping[str, Any], heard: Heard) -> None:
        if "lost" in line:
            _print_line(json.dumps({"lost": line["lost"]}))
        for watched, event in heard.take(line):
            if wanted.takes_event(watched, event):
                _print_line(json.dumps(_described(watched, event)))

    return _print(lines, once, show)


def _described(watched: Watched, event: Event) -> dict[str, Any]:
    about = watched.about
    return {
        "session": about.id,
        "protocol": about.protocol,
        "role": about.role.value,
        "peer": about.peer,
        "opened": round(about.opened, 6),
        "event": event.to_json(),
    }


def _print_plain(lines: Lines, wanted: Filter, once: bool, explain: bool) -> int:
    told = PlainLines(explain, wanted)

    def show(line: Mapping[str, Any], heard: Heard) -> None:
        if "lost" in line:
            _print_line(f"({line['lost']} events lost)")
        for text in told.of(heard.take(line)):
            _print_line(text)

    return _print(lines, once, show)


def _print_line(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()
