"""The command `trace`: the history of a message, and where it is now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.administer import administer, by_daemon, result_of
from emailsys.cli.amounts import DURATION, shown_span, shown_time
from emailsys.cli.exporting import export_option, write_page
from emailsys.cli.life_text import life_text
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit
from emailsys.control.requests import Trace
from emailsys.control.wire_requests import WireGet, WireList
from emailsys.mail.quantities import counted

if TYPE_CHECKING:
    from emailsys.wiretap.conversation import Conversation

# Seconds of one request, so that progress can be shown. The daemon handles mail meanwhile.
_PART: Final = 1.0
# More than a daemon keeps by default.
_MOST_CONVERSATIONS: Final = 1000

_EXAMPLES = """\b
Examples:
  emailsys trace 0d1x2y3z4a5b6c                a queue id, as in the log and in the reply "queued as"
  emailsys trace '<abc@client.example>'        a Message-ID
  emailsys trace alice@example.org             the latest messages from or to an address
  emailsys trace alice@example.org --since 2h --limit 100
  emailsys trace 0d1x2y3z4a5b6c --export way.html      each step, with its recorded conversation
"""


@click.command(epilog=_EXAMPLES)
@click.argument("query", metavar="QUEUE_ID|MESSAGE_ID|ADDRESS")
@click.option(
    "--limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="Maximum number of messages."
)
@click.option(
    "--since", type=DURATION, metavar="TIME", default=0.0, help="Only messages that are at most this old: 2h, 3d."
)
@export_option
@as_json
@places
def trace(where: Places, query: str, limit: int, since: float, page: Path | None, as_json: bool) -> None:
    """Show the history of messages, from acceptance to the present, the latest message first.

    With --export, a page shows each step of a message, and the connections in which it happened if they were recorded
    ([wiretap] in the configuration, or emailsys watch).

    A search by Message-ID or address reads back through all known messages while the daemon continues its work.
    --since ends the search sooner.
    """
    if as_json and str(page) == "-":
        raise Refused("--json and --export - would both write to standard output.", Exit.USAGE)
    lives: list[dict[str, Any]] = []
    progress, looked = Progress(as_json), 0
    cursor: str | None = None
    while True:
        part = administer(where, Trace(query, limit - len(lives), since, cursor, _PART))
        lives += part["lives"]
        looked += part["messages_read"]
        cursor = part["cursor"]
        if cursor is None:
            break
        progress.tell(f"{counted(looked, 'message')} searched, back to {shown_time(part['read_back_to'])}")
    progress.tell("")
    if lives and page is not None:
        from emailsys.cli.life_page import life_page

        write_page(page, life_page(lives, _recorded(where)))
    if as_json:
        print_json(lives)
    elif lives and page is None:
        click.echo("\n\n".join(life_text(life) for life in lives))
    if not lives:
        raise Refused(f"nothing found for {query}: never seen, or older than {_how_long(since)}", Exit.FAILED)


def _recorded(where: Places) -> list[Conversation]:
    """Return the conversations that the daemon has recorded; none without a daemon."""
    from emailsys.wiretap.conversation import Conversation

    answer = by_daemon(where, WireList(_MOST_CONVERSATIONS))
    found = []
    for one in [] if answer is None else result_of(answer):
        got = by_daemon(where, WireGet(one["id"]))
        whole = None if got is None else result_of(got)
        # It may have left the ring meanwhile.
        if whole is not None:
            found.append(Conversation.from_json(whole))
    return found


def _how_long(since: float) -> str:
    return shown_span(since) if since else "store.history_days"
