"""The command that tells where a message is and what became of it."""

from __future__ import annotations

from typing import Any, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.amounts import DURATION, shown_span, shown_time
from emailsys.cli.life_text import told_life
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit
from emailsys.ops.requests import Trace

# Seconds of one request: the daemon goes on with its mail in any case, this is for the progress on the screen.
_PART: Final = 1.0

_EXAMPLES = """\b
Examples:
  emailsys trace 0d1x2y3z4a5b6c                the id of the log and of the reply "queued as"
  emailsys trace '<abc@client.example>'        a Message-ID
  emailsys trace alice@example.org             the last messages from or to an address
  emailsys trace alice@example.org --since 2h --limit 100
"""


@click.command(epilog=_EXAMPLES)
@click.argument("query", metavar="QUEUE_ID|MESSAGE_ID|ADDRESS")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="At most so many messages.")
@click.option("--since", type=DURATION, metavar="TIME", default=0.0, help="Look back so far only: 2h, 3d.")
@as_json
@places
def trace(where: Places, query: str, limit: int, since: float, as_json: bool) -> None:
    """Tell a message's whole life, from its acceptance to where it is now, the latest message first.

    A search by Message-ID or address goes back through all messages that are known, beside the daemon's work; --since
    ends it sooner.
    """
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
        progress.tell(f"{looked} messages looked at, back to {shown_time(part['read_back_to'])}")
    progress.tell("")
    if as_json:
        print_json(lives)
    elif lives:
        click.echo("\n\n".join(told_life(life) for life in lives))
    if not lives:
        raise Refused(f"nothing is known of {query}: never seen, or longer ago than {_how_long(since)}", Exit.FAILED)


def _how_long(since: float) -> str:
    return shown_span(since) if since else "store.history_days"
