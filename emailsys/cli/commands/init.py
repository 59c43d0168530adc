"""The command `init`: create a store."""

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
    """Create an empty store. If there is a store already, nothing changes.

    The daemon never creates a store by itself: if a disk is not mounted, an empty store would make all mail bounce.
    Without a store, the daemon answers 451 and senders try again later. It uses a new store at once. `emailsys domain
    add` creates a store, too.
    """
    answer = by_daemon(where, Init())
    made = _make(where) if answer is None else result_of(answer)
    if made["made"]:
        done = f"created an empty store, {made['store']}; now add a domain: emailsys domain add NAME"
    else:
        done = f"there is a store already, {made['store']}; nothing was changed"
    print_done(made, as_json, done)


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
