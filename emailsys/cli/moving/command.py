"""The command `move`: its options, its report and its exit statuses."""

from __future__ import annotations

from typing import Final

import click

from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, as_json, places
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit

_EXAMPLES: Final = """
emailsys move --to postgresql://emailsys@db.example.org/emailsys
emailsys move --to 'postgresql://emailsys:{file:/etc/emailsys/database}@db/emailsys'
emailsys move --to sqlite:////var/lib/emailsys/mail-2.sqlite
emailsys move --to 'postgresql://emailsys:{env:PGPASSWORD}@db/emailsys' --leave-config --json | jq .rows
"""


@click.command(epilog=examples(_EXAMPLES))
@click.option(
    "--to",
    required=True,
    metavar="URL",
    help="The new database, as store.url names it: empty, or a new file. {env:NAME} and {file:PATH} are replaced.",
)
@click.option(
    "--leave-config", is_flag=True, help="Change no configuration: you set store.url before the daemon starts."
)
@as_json
@places
def move(where: Places, to: str, leave_config: bool, as_json: bool) -> int:
    """Move the store to another database: from SQLite to PostgreSQL, back, or to another server.

    Everything moves: mail, the queue, the history, accounts, passwords and tokens. Unique-ids of POP3 stay the same.
    All rows are compared after they were copied. Then store.url is replaced in the configuration, whose former text is
    kept in a file whose name ends with .before-move. The former store stays where it is, but no daemon uses it again.

    A daemon may run. It keeps serving, and mail that arrives during the move is moved, too. At the end, a new process
    with the new store takes over. Just before that, messages get 451 for a moment, and their senders try again.

    If the command is interrupted, the former store stays in use, and the next move starts from the beginning. If it was
    interrupted in its last step, the daemon says that the store was moved; then run the command again, and it finishes.

    The exit status is 65 if the new database is not empty, 66 if there is no store, 69 if a database cannot be reached
    or the daemon cannot take over, 75 if the store changes too fast, and 78 if store.url cannot be replaced.
    """
    from emailsys.cli.moving.steps import move_store

    progress = Progress(as_json)
    outcome = move_store(where, to, leave_config, progress.tell)
    progress.tell("")
    if as_json:
        print_json(outcome.as_json())
    else:
        for line in outcome.lines():
            click.echo(line)
    if outcome.served.problem is None:
        return Exit.OK
    click.echo(
        f"The daemon cannot use the store yet, and answers 451: {outcome.served.problem}\n"
        "Correct the problem, then run: emailsys restart",
        err=True,
    )
    return Exit.UNAVAILABLE
