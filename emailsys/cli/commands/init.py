"""The command `init`: create a store."""

from __future__ import annotations

from typing import Any, Final

import click

from emailsys.cli.administer import by_daemon, result_of
from emailsys.cli.command_group import examples
from emailsys.cli.options import NoStore, Places, as_json, places
from emailsys.cli.output import print_done
from emailsys.control.requests import Init

_EXAMPLES: Final = """
emailsys init                                    in the default state folder, or in the database of store.url
emailsys init --state /srv/mail
emailsys init --json | jq .made
emailsys init --adopt                            uses a store that has replaced the former one
"""


@click.command(epilog=examples(_EXAMPLES))
@click.option("--adopt", is_flag=True, help="Use the present store although it is not the one that was used before.")
@as_json
@places
def init(where: Places, adopt: bool, as_json: bool) -> None:
    """Create an empty store. If there is a store already, nothing changes.

    The daemon never creates a store by itself: if a disk is not mounted, an empty store would make all mail bounce.
    Without a store, the daemon answers 451 and senders try again later. It uses a new store at once. `emailsys domain
    add` creates the first store of a state folder, too. If that store is lost, only `emailsys init` creates another.

    Each store has an identity, and the file store-identity in the state folder has a copy of it. If another store takes
    the place of the former one, the daemon answers 451 until the former one is back, or until you type `emailsys init
    --adopt`. A restored backup has the identity of the store that was backed up. --adopt never creates a store.
    """
    answer = by_daemon(where, Init(adopt))
    made = _make(where, adopt) if answer is None else result_of(answer)
    if made["adopted"]:
        done = f"{made['store']} is now the store of this system"
    elif made["made"]:
        done = f"created an empty store, {made['store']}; now add a domain: emailsys domain add NAME"
    else:
        done = f"there is a store already, {made['store']}; nothing was changed"
    print_done(made, as_json, done)


def _make(where: Places, adopt: bool) -> dict[str, Any]:
    from emailsys.cli.direct_access import on_the_store
    from emailsys.store.open import Store
    from emailsys.supervisor import make_state_folder
    from emailsys.telemetry import Telemetry

    async def shown(store: Store) -> str:
        return store.database.engine.location

    settings = where.settings()
    where.announce(settings.store.url)
    try:
        return {"store": on_the_store(settings, shown, Telemetry()), "made": False, "adopted": False}
    except NoStore:
        if adopt:
            return {"store": on_the_store(settings, shown, Telemetry(), adopt=True), "made": False, "adopted": True}
        make_state_folder(where.folder)
        return {"store": on_the_store(settings, shown, Telemetry(), create=True), "made": True, "adopted": False}
