"""The commands for the queue: what waits for other hosts, and what an operator does about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.amounts import DURATION, shown_span, shown_time
from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.life_text import told_life
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_done, print_json, print_rows
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import shown_size
from emailsys.operations import QueueChange, RowState
from emailsys.ops.requests import QueueChangeRows, QueueList, QueueSummary, Trace

_EXAMPLES: Final = """
emailsys queue summary                          how much waits, by recipient domain
emailsys queue list --domain example.org        what waits for one domain, and why
emailsys queue list --older-than 4h --status waiting
emailsys queue show 0d1x2y3z4a5b6c              one message with all that happened
emailsys queue retry --domain example.org       try again now: the host is back
emailsys queue hold --sender news@example.net   stop a flood; release lets it go on
emailsys queue release --all                    what is held is tried again, now
emailsys queue drop 0d1x2y3z4a5b6c              throw a message away; nobody is told
emailsys queue forecast --host-down 3h          what the schedule would do
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def queue() -> None:
    """Show and change the queue: mail that waits for other hosts."""


_STATES: Final = tuple(state.value for state in RowState)


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose rows, and hand it the request's fields as `chosen`."""

    @click.argument("ids", nargs=-1, metavar="[QUEUE_ID]...")
    @click.option("--domain", metavar="NAME", default="", help="Recipients in that domain.")
    @click.option("--sender", metavar="ADDRESS", default="", help="From that address or domain; <> for bounces.")
    @click.option(
        "--status",
        type=click.Choice(_STATES),
        help="Rows in that state; leased: it is being sent. (--state is the folder.)",
    )
    @click.option("--older-than", type=DURATION, metavar="TIME", default=0.0, help="Accepted that long ago: 90m, 4h.")
    @wraps(function)
    def command(
        *arguments: Any,
        ids: tuple[str, ...],
        domain: str,
        sender: str,
        status: str | None,
        older_than: float,
        **options: Any,
    ) -> Any:
        if options.get("state") in _STATES:
            # --state is the state folder, in each command of the program.
            raise click.UsageError(f"--state names the state folder; rows by their state: --status {options['state']}")
        chosen = {
            "queue_ids": ids,
            "domain": domain,
            "sender": sender,
            "state": None if status is None else RowState(status),
            "older_than": older_than,
        }
        return function(*arguments, chosen=chosen, **options)

    return command


@queue.command("list")
@_filters
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="At most so many rows.")
@as_json
@places
def list_(where: Places, chosen: dict[str, Any], limit: int, as_json: bool) -> None:
    """List recipients that wait, in the order in which their mail was accepted."""
    rows = administer(where, QueueList(**chosen, limit=limit))
    if as_json:
        print_json(rows)
        return
    print_rows([_listed(row) for row in rows], False, "nothing waits that fits")
    if len(rows) == limit:
        click.echo(f"only the first {limit} are shown; --limit N shows more", err=True)


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "queue id": row["queue_id"],
        "state": row["state"],
        "arrived": shown_time(row["arrived"]),
        "due": shown_time(row["due"]),
        "tries": row["attempts"],
        "size": shown_size(row["octets"]),
        "sender": row["sender"] or "<>",
        "recipient": row["recipient"],
        "last reply": " ".join((row["reply"] or "").split())[:80] or None,
    }


@queue.command("show")
@click.argument("queue_id")
@as_json
@places
def show(where: Places, queue_id: str, as_json: bool) -> None:
    """Show one message of the queue: its recipients that wait, and all that happened to it."""
    rows = administer(where, QueueList((queue_id,), limit=1000))
    lives = administer(where, Trace(queue_id, 1))["lives"]
    if not rows:
        known = "; it is not in the queue any more: emailsys trace " + queue_id if lives else ""
        raise Refused(f"no message {queue_id} waits{known}")
    if as_json:
        print_json({"waiting": rows, "life": lives[0] if lives else None})
        return
    for life in lives:
        click.echo(told_life(life))
    click.echo("")
    print_rows([_listed(row) for row in rows], False, "")


@queue.command("summary")
@as_json
@places
def summary(where: Places, as_json: bool) -> None:
    """Show how much waits, by recipient domain, the most first."""
    rows = administer(where, QueueSummary())
    if not as_json:
        rows = [{**row, "oldest": shown_time(row["oldest"]), "due": shown_time(row["due"])} for row in rows]
    print_rows(rows, as_json, "the queue is empty")


def _add_change(change: str, done: str, text: str, warning: str = "") -> None:
    """Give the group a command that changes the rows it is told.

    @param done: what has been done to them, for the last line.
    @param warning: what is to be confirmed before, on a terminal or by --yes; "" for none.
    """

    @_filters
    @click.option("--all", "everything", is_flag=True, help="All of the queue.")
    @as_json
    @places
    def command(where: Places, chosen: dict[str, Any], everything: bool, as_json: bool, yes: bool = False) -> None:
        if not everything and not any(chosen.values()):
            raise click.UsageError("Say which: QUEUE_IDs, --domain, --sender, --status, --older-than, or --all.")
        if warning and not yes:
            if not sys.stdin.isatty():
                raise Refused(f"{warning} Say --yes", Exit.USAGE)
            click.confirm(f"{warning} {change.capitalize()} it?", abort=True, err=True)
        answer = administer(where, QueueChangeRows(**chosen, change=QueueChange(change)))
        count = answer["changed"]
        print_done(answer, as_json, f"{count} {'recipient' if count == 1 else 'recipients'} {done}")

    if warning:
        command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
    queue.command(change, help=text)(command)


_add_change("retry", "due now", "Try again now what waits for its next attempt.")
_add_change("hold", "held", "Try no more until it is released. What is being sent at this moment ends first.")
_add_change("release", "released", "Let what is held be tried again, now.")
_add_change(
    "drop",
    "dropped",
    "Throw mail away. Neither sender nor recipient is told; the ledger keeps that it was dropped.",
    "Dropped mail does not come back, and nobody is told.",
)


@queue.command("forecast")
@click.option("--host-down", type=DURATION, metavar="TIME", required=True, help="How long the host stays away: 3h, 6d.")
@as_json
@places
def forecast(where: Places, host_down: float, as_json: bool) -> None:
    """Show what would happen to a message accepted now for a host that is down: attempts, warning, bounce.

    It is the real schedule with the settings in force, run ahead of time without its jitter.
    """
    from emailsys.cli.active_config import in_force
    from emailsys.delivery.schedule import forecast as foretell

    where, whose = in_force(where)
    click.echo(f"emailsys: by {whose}", err=True)
    began = datetime.now(UTC).replace(microsecond=0)
    settings = where.settings().queue
    steps = [
        {
            "at": step.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "after": round((step.at - began).total_seconds()),
            "what": step.kind.value,
        }
        for step in foretell(settings, began, began + timedelta(seconds=host_down), lambda: 0.5)
    ]
    if not as_json:
        steps = [
            {"at": shown_time(str(step["at"])), "after": shown_span(float(step["after"])), "what": step["what"]}
            for step in steps
        ]
    print_rows(steps, as_json, "")
