"""The command that shows a running system on one screen."""

from __future__ import annotations

from typing import Any

import click

from emailsys.cli.active_config import running
from emailsys.cli.administer import administer
from emailsys.cli.amounts import shown_span, shown_time
from emailsys.cli.command_group import examples
from emailsys.cli.options import NoStore, Places, Refused, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import counted, shown_size
from emailsys.ops.requests import QueueSummary

_EXAMPLES = """
emailsys status
emailsys status --json | jq .daemon.sessions
watch emailsys status
"""
# Domains of the queue that the screen has room for.
_DOMAINS = 8
# A disk with less than so many times what is wanted is nearly full: time to act, while mail comes in.
_NEARLY_FULL = 10


@click.command(epilog=examples(_EXAMPLES))
@as_json
@places
def status(where: Places, as_json: bool) -> int:
    """Show the daemon, its services and sessions, the queue, and what was counted since its start.

    The exit status is 69 where no daemon runs, the queue being shown all the same, and where the daemon takes no mail.
    """
    daemon = running(where)
    queue: list[dict[str, Any]] | None = None
    try:
        queue = administer(where, QueueSummary())
    except NoStore as error:
        if daemon is None:
            raise Refused(f"no daemon runs, and {error.message}", Exit.UNAVAILABLE) from None
    except Refused:
        # A daemon in trouble tells of it below.
        if daemon is None or _trouble(daemon) is None:
            raise
    if as_json:
        print_json({"daemon": daemon, "queue": queue})
    else:
        _show(daemon, queue)
    return Exit.UNAVAILABLE if daemon is None or _trouble(daemon) is not None else Exit.OK


def _trouble(daemon: dict[str, Any]) -> str | None:
    """Why the daemon takes no mail, None where it does."""
    trouble: str | None = daemon.get("store", {}).get("trouble")
    return trouble


def _show(daemon: dict[str, Any] | None, queue: list[dict[str, Any]] | None) -> None:
    if daemon is None:
        click.echo("no daemon runs")
    else:
        click.echo(
            f"emailsys {daemon['version']} on {daemon['hostname']}, process {daemon['pid']}, "
            f"up {shown_span(daemon['up'])}, state in {daemon['state']}, "
            f"configuration {daemon['config'] or 'embedded'}"
        )
        trouble = _trouble(daemon)
        if trouble is not None:
            click.echo(f"NO MAIL IS TAKEN, senders hear 451 and come again: {trouble}")
        for service, addresses in daemon["listening"].items():
            sessions = daemon["sessions"].get(service)
            count = "" if sessions is None else f"  {counted(sessions, 'session')}"
            click.echo(f"  {service:<12}{', '.join(addresses)}{count}")
        for hop in daemon.get("next_hops", ()):
            if hop["paused_until"]:
                click.echo(f"  {hop['name']} is left alone until {shown_time(hop['paused_until'])}: {hop['reason']}")
        disk = daemon.get("disk")
        if disk is not None:
            click.echo(_told_disk(**disk))
        for message in daemon.get("damaged", ()):
            click.echo(f"  DAMAGED {message['queue_id']}: {message['what']} (emailsys verify finds all of them)")
        counters = sorted(daemon["counters"].items(), key=lambda item: (-item[1], item[0]))
        if counters:
            click.echo("since the start: " + ", ".join(f"{name} {count}" for name, count in counters))
    if queue is None:
        return
    totals = {state: sum(row[state] for row in queue) for state in ("waiting", "leased", "held")}
    if not queue:
        click.echo("queue: empty")
        return
    click.echo("queue: " + ", ".join(f"{count} {state}" for state, count in totals.items()))
    for row in queue[:_DOMAINS]:
        click.echo(
            f"  {row['domain']:<32} {row['waiting']} waiting, {row['leased']} leased, {row['held']} held, "
            f"the oldest of {shown_time(row['oldest'])}, due {shown_time(row['due'])}"
        )
    if len(queue) > _DOMAINS:
        click.echo(f"  and {len(queue) - _DOMAINS} more domains: emailsys queue summary")


def _told_disk(free: int, wanted: int) -> str:
    left = f"disk: {shown_size(free)} left for mail"
    if free < wanted:
        return f"{left}, FULL: mail is put off (452 4.3.1) until there are {shown_size(wanted)}"
    return f"{left}, nearly full" if free < _NEARLY_FULL * wanted else left
