"""The command `verify`: check the ledger and the bodies of the whole store."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from emailsys.cli.administer import administer
from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, as_json, places
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit
from emailsys.control.requests import Verify
from emailsys.mail.quantities import counted, shown_size

# Seconds of one request, so that progress can be shown. The daemon handles mail meanwhile.
_PART = 2.0
_EXAMPLES = """
emailsys verify                    works with and without a running daemon
emailsys verify --json | jq .flaws
"""
# Flaws that are printed.
_SHOWN = 100


@click.command(epilog=examples(_EXAMPLES))
@as_json
@places
def verify(where: Places, as_json: bool) -> int:
    """Check that every accepted recipient is in exactly one place and that every body is unchanged.

    The check runs in short steps while the daemon works. The exit status is 1 if it finds a flaw.
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
        progress.tell(f"{counted(messages, 'message')}, {shown_size(octets)}, {counted(len(flaws), 'flaw')}")
        if cursor is None:
            break
    progress.tell("")
    if as_json:
        report = {"messages": messages, "octets": octets, "recipients": dict(recipients), "flaws": flaws}
        print_json(report)
    else:
        click.echo(f"{counted(messages, 'message')}; {octets} octets of bodies read and compared with their digests")
        for place, count in sorted(recipients.items()):
            click.echo(f"  {count:>8}  {_PLACES.get(place, place)}")
        for flaw in flaws[:_SHOWN]:
            click.echo(f"FLAW {flaw['queue_id']}: {flaw['what']}")
        if len(flaws) > _SHOWN:
            click.echo(f"and {len(flaws) - _SHOWN} more; --json prints all")
        click.echo("no flaws found" if not flaws else counted(len(flaws), "flaw"))
    return Exit.FAILED if flaws else Exit.OK


_PLACES = {"maildrop": "in a maildrop", "queue": "in the queue"}
