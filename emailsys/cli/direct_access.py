"""Carry out an administrative request on the store itself, while no daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from emailsys.cli.options import NoStore, Refused
from emailsys.config.exit_status import Exit
from emailsys.config.settings import Settings
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.ops.commands import Answer, Commands
from emailsys.ops.requests import Request
from emailsys.ops.store_access import Hooks
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.supervisor import keep_owner
from emailsys.tap.route_explanation import explainer
from emailsys.telemetry import Telemetry

T = TypeVar("T")


def carry_out(settings: Settings, request: Request, create: bool = False) -> Any:
    """The answer of `Commands.answer`.

    @param create: as for `open_store`.
    @raise NoStore: there is none.
    @raise Refused: the store cannot be opened.
    """
    telemetry = Telemetry()

    async def action(store: Store) -> Answer:
        return await Commands(store, telemetry, Hooks(explain=explainer(settings, store))).answer(request)

    return on_the_store(settings, action, telemetry, create=create)


def on_the_store(
    settings: Settings,
    action: Callable[[Store], Coroutine[Any, Any, T]],
    telemetry: Telemetry,
    *,
    backed_up: bool = False,
    create: bool = False,
) -> T:
    """Open the store, do something, close it.

    @param backed_up, create: as for `open_store`.
    @raise NoStore: there is none.
    @raise Refused: it cannot be opened.
    """
    try:
        return run_offline(settings.store, settings.state, action, telemetry, backed_up=backed_up, create=create)
    except StoreMissing as missing:
        raise NoStore(str(missing)) from None
    except StoreError as error:
        raise Refused(str(error), Exit.UNAVAILABLE) from None
    finally:
        # The daemon may run as another user than root, who is here: what root has made must be the daemon's, where it
        # was in vain, too.
        if settings.state.is_dir():
            keep_owner(settings.state)
