"""The command `upgrade`: bring a store to the schema of this release."""

from __future__ import annotations

import sys

import click

from emailsys.cli.command_group import examples
from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_done
from emailsys.config.exit_status import Exit

_WARNING = "This command does not back up a PostgreSQL store: run pg_dump first."


_EXAMPLES = """
emailsys upgrade                   a SQLite store; a copy is kept beside it
pg_dump emailsys > backup.sql && emailsys upgrade --yes
"""


@click.command(epilog=examples(_EXAMPLES))
@click.option("--yes", is_flag=True, help="Confirm that there is a backup; do not ask.")
@as_json
@places
def upgrade(where: Places, yes: bool, as_json: bool) -> None:
    """Upgrade the store to the schema of this release. It is one transaction: a failure changes nothing.

    A SQLite store is first copied beside itself; a daemon does the same when it starts. A PostgreSQL store is upgraded
    only by this command, after you have confirmed a backup. Meanwhile, daemons of the previous release keep working.
    """
    from emailsys.cli.direct_access import on_the_store
    from emailsys.store.open import Store
    from emailsys.store.schema.tables import REVISION
    from emailsys.supervisor import check_state_folder
    from emailsys.telemetry import Telemetry

    settings = where.settings()
    where.announce(settings.store.url)
    if settings.store.url is not None and settings.store.url.startswith("postgresql") and not yes:
        if not sys.stdin.isatty():
            raise Refused(f"{_WARNING} Then confirm with --yes", Exit.USAGE)
        click.confirm(f"{_WARNING} Is there a backup?", abort=True, err=True)

    async def nothing(store: Store) -> None:
        """Opening the store upgrades it."""

    check_state_folder(where.folder)
    on_the_store(settings, nothing, Telemetry(), backed_up=True)
    print_done({"revision": REVISION}, as_json, f"the store is at revision {REVISION}, the current one")
