"""Direct access to the store for administrative requests while no daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from emailsys.cli.options import NoStore, Refused
from emailsys.config.exit_status import Exit
from emailsys.config.settings import Settings
from emailsys.control.answers import Answer
from emailsys.control.commands import Commands
from emailsys.control.requests import Request
from emailsys.control.store_access import Hooks
from emailsys.daemon.preload import load_before_dropping
from emailsys.daemon.route_explanation import explainer
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.platforms.users import owner_of
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.store.schema.identity import had_store
from emailsys.supervisor import as_owner
from emailsys.telemetry import Telemetry

T = TypeVar("T")


def carry_out(settings: Settings, request: Request, create: bool = False) -> Any:
    """Carry out a request on the store; return the answer of `Commands.answer`.

    @param create: whether to create the store, unless the state folder had one before (decision 0023).
    @raise NoStore: there is no store.
    @raise Refused: the store cannot be opened.
    """
    telemetry = Telemetry()

    async def action(store: Store) -> Answer:
        return await Commands(store, telemetry, Hooks(explain=explainer(settings, store))).answer(request)

    return on_the_store(settings, action, telemetry, create=create and not had_store(settings.state))


def on_the_store(
    settings: Settings,
    action: Callable[[Store], Coroutine[Any, Any, T]],
    telemetry: Telemetry,
    *,
    backed_up: bool = False,
    create: bool = False,
    adopt: bool = False,
) -> T:
    """Open the store, run an action, and close the store.

    @param backed_up, create, adopt: as for `open_store`.
    @raise NoStore: there is no store.
    @raise Refused: the store cannot be opened.
    """
    try:
        # The daemon may run as another user, who owns the folder: what root creates there must belong to that user, and
        # links that this user planted must not lead root elsewhere.
        load_before_dropping(owner_of(settings.state) if settings.state.is_dir() else None)
        with as_owner(settings.state):
            return run_offline(
                settings.store, settings.state, action, telemetry, backed_up=backed_up, create=create, adopt=adopt
            )
    except StoreMissing as missing:
        raise NoStore(str(missing)) from None
    except StoreError as error:
        raise Refused(str(error), Exit.UNAVAILABLE) from None
