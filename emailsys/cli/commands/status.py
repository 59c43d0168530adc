"""The command `status`: the running system on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from emailsys.cli.active_config import daemon_status
from emailsys.cli.administer import administer, system_store_hint
from emailsys.cli.amounts import shown_span, shown_time
from emailsys.cli.command_group import examples
from emailsys.cli.event_words import counters_line
from emailsys.cli.options import NoStore, Places, Refused, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.exit_status import Exit
from emailsys.control.requests import QueueSummary
from emailsys.mail.quantities import counted, shown_size

_EXAMPLES = """
emailsys status
emailsys status --json | jq .daemon.sessions
emailsys status --timeout 2                      as a health check
watch emailsys status
"""
# Domains of the queue that are shown.
_DOMAINS = 8
# The disk is nearly full below this multiple of the required space: time to act, while mail is still accepted.
_NEARLY_FULL = 10


@click.command(epilog=examples(_EXAMPLES))
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1, max=600),
    help="How long to wait for each answer of the daemon. Default: 10, and 120 for the queue.",
)
@as_json
@places
def status(where: Places, timeout: float | None, as_json: bool) -> int:
    """Show the daemon, its services and sessions, the queue, and the event counters since its start.

    The exit status is 69 if no daemon runs (the queue is shown all the same) or if the daemon accepts no mail.
    """
    daemon = daemon_status(where) if timeout is None else daemon_status(where, timeout)
    queue: list[dict[str, Any]] | None = None
    try:
        queue = administer(where, QueueSummary(), timeout)
    except NoStore as error:
        if daemon is None:
            raise Refused(_nothing_found(where, error), Exit.UNAVAILABLE) from None
    except Refused:
        # The status below shows the daemon's problem.
        if daemon is None or _problem(daemon) is None:
            raise
    if as_json:
        print_json({"daemon": daemon, "queue": queue})
    else:
        _show(daemon, queue)
    return Exit.UNAVAILABLE if daemon is None or _problem(daemon) is not None else Exit.OK


def _nothing_found(where: Places, error: NoStore) -> str:
    if system_store_hint(where):
        return f"no daemon of yours runs.{system_store_hint(where)}"
    return (
        f"no daemon runs, and {error.message} If you have just started the daemon, wait a moment and ask again; "
        "if it uses another state folder, name that folder."
    )


def _problem(daemon: dict[str, Any]) -> str | None:
    """Return why the daemon accepts no mail, None if it does."""
    problem: str | None = daemon.get("store", {}).get("problem")
    return problem


def _show(daemon: dict[str, Any] | None, queue: list[dict[str, Any]] | None) -> None:
    if daemon is None:
        click.echo("no daemon runs")
    else:
        _show_daemon(daemon)
    if queue is None:
        return
    if not queue:
        click.echo("queue: empty")
        return
    totals = {state: sum(row[state] for row in queue) for state in ("waiting", "leased", "held")}
    click.echo("queue: " + ", ".join(f"{count} {state}" for state, count in totals.items()))
    for row in queue[:_DOMAINS]:
        click.echo(
            f"  {row['domain']:<32} {row['waiting']} waiting, {row['leased']} leased, {row['held']} held, "
            f"oldest {shown_time(row['oldest'])}, next attempt {shown_time(row['due'])}"
        )
    if len(queue) > _DOMAINS:
        click.echo(f"  and {counted(len(queue) - _DOMAINS, 'more domain')}: emailsys queue summary")


def _show_daemon(daemon: dict[str, Any]) -> None:
    click.echo(
        f"emailsys {daemon['version']} on {daemon['hostname']}, process {daemon['pid']}, "
        f"up {shown_span(daemon['uptime'])}, state in {daemon['state']}, "
        f"configuration {daemon['config'] or 'embedded'}"
    )
    problem = _problem(daemon)
    if problem is not None:
        if daemon["store"].get("untrusted"):
            click.echo("ALARM: files of the store were removed or replaced while the daemon uses them")
        click.echo(f"NO MAIL IS ACCEPTED; senders are answered 451 and try again later: {problem}")
    for service, addresses in daemon["listening"].items():
        sessions = daemon["sessions"].get(service)
        count = "" if sessions is None else f"  {counted(sessions, 'session')}"
        click.echo(f"  {service:<12}{', '.join(addresses)}{count}")
    if daemon.get("workers") is not None:
        for line in _worker_lines(**daemon["workers"]):
            click.echo(line)
    if not daemon.get("outbound", True):
        click.echo("mail to other systems waits: outbound.enabled is false")
    for hop in daemon.get("next_hops", ()):
        # An older daemon does not tell.
        if hop.get("alarm"):
            click.echo(f"ALARM: mail for {hop['name']} waits until its route or host is corrected: {hop['reason']}")
        if hop["paused_until"]:
            click.echo(f"  {hop['name']} is not tried until {shown_time(hop['paused_until'])}: {hop['reason']}")
    disk = daemon.get("disk")
    if disk is not None:
        click.echo(_disk_line(**disk))
    for problem in daemon.get("certificates", {}).get("problems", ()):
        click.echo(f"  CERTIFICATE {problem}")
    for message in daemon.get("damaged", ()):
        click.echo(f"  DAMAGED {message['queue_id']}: {message['what']} (emailsys verify finds all of them)")
    line = counters_line(daemon["counters"])
    if line:
        click.echo(line)


def _worker_lines(
    wanted: int, serving: list[dict[str, Any]], problem: str | None, services: Sequence[str] = ("pop3",)
) -> Iterator[str]:
    """Describe the worker processes, and why some of them are missing. An older daemon does not tell the services."""
    kind = "worker" if "smtp" in services else "POP3 worker"
    for worker in serving:
        connections = counted(worker["connections"], "connection")
        yield f"  {kind} {worker['pid']}: {connections}, up {shown_span(worker['uptime'])}"
    if len(serving) < wanted:
        who = "the others serve" if serving else "the daemon serves"
        why = "starting" if problem is None else f"the last one that ended: {problem}"
        yield f"  {len(serving)} of {wanted} {kind}s are running, {who} all sessions ({why})"


def _disk_line(free: int, required: int) -> str:
    """Describe the free disk space, both sizes in octets."""
    left = f"disk: {shown_size(free)} left for mail"
    if free < required:
        needed = f"{shown_size(free)} are free, {shown_size(required)} are required"
        return f"disk: TOO FULL FOR MAIL: {needed}; until then, mail is answered with 452 4.3.1"
    return f"{left}, nearly full" if free < _NEARLY_FULL * required else left
