"""The command `reload`: the daemon reads its configuration and certificates again."""

from __future__ import annotations

from typing import Any, Final

import click

from emailsys.cli.administer import by_daemon, result_of
from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_json
from emailsys.config.exit_status import Exit
from emailsys.control.daemon_requests import Reload

_EXAMPLES: Final = """
emailsys reload                                  after each change of emailsys.toml
emailsys reload --check                          what would be applied, and what needs a restart
emailsys reload --json | jq -r '.restart[].key'
"""


@click.command(epilog=examples(_EXAMPLES))
@click.option("--check", is_flag=True, help="Only read and check the configuration. The daemon changes nothing.")
@as_json
@places
def reload(where: Places, check: bool, as_json: bool) -> int:
    """Make the daemon read its configuration and certificates again, and reopen its mail log. SIGHUP does the same.

    The whole configuration is checked first. If it is wrong, the daemon goes on with the former one. Connections that
    are open keep the settings with which they began. Some keys need a restart: they are named, with the reason.

    The exit status is 78 if the configuration is wrong, and 69 if no daemon runs.
    """
    answer = by_daemon(where, Reload(check))
    if answer is None:
        raise Refused("no daemon runs, so nothing was reloaded. Start it, or name its state folder", Exit.UNAVAILABLE)
    outcome = result_of(answer)
    if as_json:
        print_json(outcome)
    else:
        _show(outcome, check)
    return Exit.CONFIG if outcome["problems"] else Exit.OK


def _show(outcome: dict[str, Any], check: bool) -> None:
    for problem in outcome["problems"]:
        click.echo(problem, err=True)
    if outcome["problems"]:
        click.echo("The configuration is wrong. The daemon goes on with the former one.", err=True)
        return
    for key in outcome["applied"]:
        click.echo(f"{'would be applied' if check else 'applied'}: {key}")
    for change in outcome["restart"]:
        click.echo(f"needs a restart: {change['key']}, because {change['why']}")
    if not outcome["applied"] and not outcome["restart"]:
        click.echo("The configuration has not changed.")
