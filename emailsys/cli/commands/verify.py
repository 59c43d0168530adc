"""The command that checks the ledger and the bodies over the whole store."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from emailsys.cli.administer import administer
from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, as_json, places
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import shown_size
from emailsys.ops.requests import Verify

# Seconds of one request: the daemon goes on with its mail in any case, this is for the progress on the screen.
_PART = 2.0
_EXAMPLES = """
emailsys verify                    beside the daemon, or while none runs
emailsys verify --json | jq .flaws
"""
# Flaws that are shown one by one.
_SHOWN = 100


@click.command(epilog=examples(_EXAMPLES))
@as_json
@places
def verify(where: Places, as_json: bool) -> int:
    """Check that every accepted recipient is in exactly one place, and every body is what was accepted.

    It runs beside the daemon, in short steps. The exit status is 1 where something is wrong.
    """
    cursor: str | None = None
    messages, octets = 0, 0
    recipients: Counter[str] = Counter()
    flaws: list[dict[str, Any]] = []
    progress = Progress(as_json)
    while True:
        part = administer(where, Verify(cursor, _PART))
        messages += part["messages"]
        octets += part["octets"]
        recipients.update(part["recipients"])
        flaws += part["flaws"]
        cursor = part["cursor"]
        progress.tell(f"{messages} messages, {shown_size(octets)}, {len(flaws)} flaws")
        if cursor is None:
            break
    progress.tell("")
    if as_json:
        report = {"messages": messages, "octets": octets, "recipients": dict(recipients), "flaws": flaws}
        print_json(report)
    else:
        counted = "1 message" if messages == 1 else f"{messages} messages"
        click.echo(f"{counted}; bodies of {octets} octets read and compared with their digests")
        for place, count in sorted(recipients.items()):
            click.echo(f"  {count:>8}  {_PLACES.get(place, place)}")
        for flaw in flaws[:_SHOWN]:
            click.echo(f"FLAW {flaw['queue_id']}: {flaw['what']}")
        if len(flaws) > _SHOWN:
            click.echo(f"and {len(flaws) - _SHOWN} more: --json has all")
        click.echo("all is well" if not flaws else f"{len(flaws)} flaws")
    return Exit.FAILED if flaws else Exit.OK


_PLACES = {"maildrop": "in a maildrop", "queue": "in the queue"}
