"""The command `restart`: a new process takes over from the daemon, and no connection is refused."""

from __future__ import annotations

from typing import Final

import click

from emailsys.cli.administer import by_daemon, result_of
from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.exit_status import Exit
from emailsys.control.daemon_requests import Restart

_EXAMPLES: Final = """
emailsys restart                                 after an upgrade, or a change that needs a restart
emailsys reload --check; emailsys restart        see first what a reload could not apply
emailsys restart --json | jq .pid
"""
# Seconds to wait for the answer: longer than the daemon waits for its successor.
_TIMEOUT: Final = 120.0


@click.command(epilog=examples(_EXAMPLES))
@as_json
@places
def restart(where: Places, as_json: bool) -> int:
    """Restart the daemon without a gap: a new process takes over its ports, and no connection is refused.

    The new process runs the program as it is on disk now, with the configuration as it is now. When it serves, the
    former process accepts no more connections, finishes the messages in progress, and ends. If the new process cannot
    start, the former one goes on.

    The exit status is 69 if the new process could not start, and if no daemon runs.
    """
    answer = by_daemon(where, Restart(), _TIMEOUT)
    if answer is None:
        raise Refused("no daemon runs, so nothing was restarted. Start it, or name its state folder", Exit.UNAVAILABLE)
    outcome = result_of(answer)
    if as_json:
        print_json(outcome)
    elif outcome["problem"] is None:
        click.echo(f"process {outcome['pid']} serves now; the former one finishes what is in progress")
    if outcome["problem"] is None:
        return Exit.OK
    click.echo(f"{outcome['problem']}\nThe daemon goes on as process {outcome['pid']}.", err=True)
    return Exit.UNAVAILABLE
