"""The command that brings a store to the schema of this release."""

from __future__ import annotations

import sys

import click

from emailsys.cli.options import Places, Refused, as_json, places
from emailsys.cli.output import print_done
from emailsys.config.exit_status import Exit

_WARNING = "A PostgreSQL store is not backed up by this command: run pg_dump first."


@click.command()
@click.option("--yes", is_flag=True, help="There is a backup: do not ask.")
@as_json
@places
def upgrade(where: Places, yes: bool, as_json: bool) -> None:
    """Bring the store to the schema of this release, in one transaction: a failure changes nothing.

    A store on SQLite is copied beside itself first, and a daemon does the same at its start. A store on PostgreSQL is
    upgraded by this command alone, once its backup is confirmed; daemons of the release before go on meanwhile.
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
            raise Refused(f"{_WARNING} Then say --yes", Exit.USAGE)
        click.confirm(f"{_WARNING} Is there a backup?", abort=True, err=True)

    async def nothing(store: Store) -> None:
        """That it was opened is all."""

    check_state_folder(where.folder)
    on_the_store(settings, nothing, Telemetry(), backed_up=True)
    print_done({"revision": REVISION}, as_json, f"the store is at revision {REVISION}, that of this release")
