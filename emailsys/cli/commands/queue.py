"""The commands for the queue of outbound mail: list, show, retry, hold, release, drop, forecast."""

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
from emailsys.cli.life_text import life_text
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_done, print_json, print_rows
from emailsys.config.exit_status import Exit
from emailsys.control.requests import QueueChangeRows, QueueList, QueueSummary, Trace
from emailsys.interfaces.operators import QueueChange, RowState
from emailsys.mail.quantities import counted, shown_size

_EXAMPLES: Final = """
emailsys queue summary                          how much mail waits, by recipient domain
emailsys queue list --domain example.org        mail that waits for one domain, and why
emailsys queue list --older-than 4h --status waiting
emailsys queue show 0d1x2y3z4a5b6c              one message with its history
emailsys queue retry --domain example.org       try again now, for example when the host is back
emailsys queue hold --sender news@example.net   stop a flood; `release` resumes it
emailsys queue release --all                    try held mail again, now
emailsys queue drop 0d1x2y3z4a5b6c              discard a message without a bounce
emailsys queue forecast --host-down 3h          attempts, warning and bounce for a host that is down for 3 hours
"""


@click.group(cls=Verbs, epilog=examples(_EXAMPLES))
def queue() -> None:
    """Show and change the queue: outbound mail that waits for delivery."""


_STATES: Final = tuple(state.value for state in RowState)


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose rows to a command; it receives the fields of the request as `chosen`."""

    @click.argument("ids", nargs=-1, metavar="[QUEUE_ID]...")
    @click.option("--domain", metavar="NAME", default="", help="Only recipients in this domain.")
    @click.option(
        "--sender", metavar="ADDRESS", default="", help="Only mail from this address or domain; <> means bounces."
    )
    @click.option(
        "--status",
        type=click.Choice(_STATES),
        help="Only rows in this state; leased means that delivery is in progress. (--state names the folder.)",
    )
    @click.option(
        "--older-than",
        type=DURATION,
        metavar="TIME",
        default=0.0,
        help="Only mail accepted at least this long ago: 90m, 4h.",
    )
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
            # In every command, --state is the state folder.
            raise click.UsageError(
                f"--state names the state folder. To choose rows by their state, use --status {options['state']}"
            )
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
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="Maximum number of rows."
)
@as_json
@places
def list_(where: Places, chosen: dict[str, Any], limit: int, as_json: bool) -> None:
    """List the recipients in the queue, in the order in which their mail was accepted."""
    rows = administer(where, QueueList(**chosen, limit=limit))
    if as_json:
        print_json(rows)
        return
    print_rows([_listed(row) for row in rows], False, "no row of the queue matches")
    if len(rows) == limit:
        click.echo(f"the list ends after {counted(limit, 'row')}; --limit N shows more", err=True)


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
        "last reply": " ".join((row["reply"] or "").split()) or None,
    }


@queue.command("show")
@click.argument("queue_id")
@as_json
@places
def show(where: Places, queue_id: str, as_json: bool) -> None:
    """Show one message of the queue: its recipients that wait, and its history."""
    rows = administer(where, QueueList((queue_id,), limit=1000))
    lives = administer(where, Trace(queue_id, 1))["lives"]
    if not rows:
        known = f"; its history is known: emailsys trace {queue_id}" if lives else ""
        raise Refused(f"no message {queue_id} is in the queue{known}")
    if as_json:
        print_json({"waiting": rows, "life": lives[0] if lives else None})
        return
    for life in lives:
        click.echo(life_text(life))
    click.echo("")
    print_rows([_listed(row) for row in rows], False, "")


@queue.command("summary")
@as_json
@places
def summary(where: Places, as_json: bool) -> None:
    """Show how much mail waits, by recipient domain, the most first."""
    rows = administer(where, QueueSummary())
    if not as_json:
        rows = [{**row, "oldest": shown_time(row["oldest"]), "due": shown_time(row["due"])} for row in rows]
    print_rows(rows, as_json, "the queue is empty")


def _add_change(change: str, done: str, text: str, warning: str = "") -> None:
    """Add a command to the group that changes the chosen rows.

    @param done: the participle for the last line.
    @param warning: the warning to confirm, on a terminal or with --yes; "" for none.
    """

    @_filters
    @click.option("--all", "everything", is_flag=True, help="Every row of the queue.")
    @as_json
    @places
    def command(where: Places, chosen: dict[str, Any], everything: bool, as_json: bool, yes: bool = False) -> None:
        if not everything and not any(chosen.values()):
            raise click.UsageError("Choose rows: QUEUE_IDs, --domain, --sender, --status, --older-than, or --all.")
        if warning and not yes:
            if not sys.stdin.isatty():
                raise Refused(f"{warning} Confirm with --yes", Exit.USAGE)
            click.confirm(f"{warning} {change.capitalize()} it?", abort=True, err=True)
        answer = administer(where, QueueChangeRows(**chosen, change=QueueChange(change)))
        count = answer["changed"]
        print_done(answer, as_json, f"{count} {'recipient' if count == 1 else 'recipients'} {done}")

    if warning:
        command = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(command)
    queue.command(change, help=text)(command)


_add_change("retry", "due now", "Try again now instead of at the next scheduled attempt.")
_add_change("hold", "held", "Stop attempts until the rows are released. A delivery in progress is not interrupted.")
_add_change("release", "released", "Release held rows and try them again now.")
_add_change(
    "drop",
    "dropped",
    "Discard mail. No bounce is sent; the history of the message records that it was dropped.",
    "Dropped mail cannot be restored, and its sender gets no bounce.",
)


@queue.command("forecast")
@click.option("--host-down", type=DURATION, metavar="TIME", required=True, help="How long the host is down: 3h, 6d.")
@as_json
@places
def forecast(where: Places, host_down: float, as_json: bool) -> None:
    """Show the attempts, the warning and the bounce for a message accepted now if its host is down for TIME.

    This is the real schedule with the settings in force, without its random jitter.
    """
    from emailsys.cli.active_config import in_force
    from emailsys.delivery.retry_schedule import forecast as foretell

    where, origin = in_force(where)
    click.echo(f"emailsys: by {origin}", err=True)
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
