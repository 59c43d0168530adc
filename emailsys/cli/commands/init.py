"""The command that makes a store."""

from __future__ import annotations

from typing import Any, Final

import click

from emailsys.cli.administer import by_daemon, result_of
from emailsys.cli.command_group import examples
from emailsys.cli.options import NoStore, Places, as_json, places
from emailsys.cli.output import print_done
from emailsys.ops.requests import Init
from emailsys.supervisor import make_state_folder
from emailsys.telemetry import Telemetry

_EXAMPLES: Final = """
emailsys init                                    in the default state folder, or in the database of store.url
emailsys init --state /srv/mail
emailsys init --json | jq .made
"""


@click.command(epilog=examples(_EXAMPLES))
@as_json
@places
def init(where: Places, as_json: bool) -> None:
    """Make an empty store where there is none; nothing happens to one that is there.

    The daemon makes no store by itself: a disk that is not mounted would look like a new system, and all its mail
    would bounce. Until there is a store the daemon puts mail off with 451, and it serves a new one at once. `emailsys
    domain add` makes a store, too.
    """
    answer = by_daemon(where, Init())
    made = _make(where) if answer is None else result_of(answer)
    if made["made"]:
        told = f"made an empty store, {made['store']}; it takes mail from the first domain on: emailsys domain add NAME"
    else:
        told = f"there is a store already, {made['store']}; nothing was changed"
    print_done(made, as_json, told)


def _make(where: Places) -> dict[str, Any]:
    from emailsys.cli.direct_access import on_the_store
    from emailsys.store.open import Store

    async def shown(store: Store) -> str:
        return store.database.engine.location

    settings = where.settings()
    where.announce(settings.store.url)
    try:
        return {"store": on_the_store(settings, shown, Telemetry()), "made": False}
    except NoStore:
        make_state_folder(where.folder)
        return {"store": on_the_store(settings, shown, Telemetry(), create=True), "made": True}
