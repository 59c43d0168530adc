"""Carry out an administrative request on the store itself, while no daemon runs."""

from __future__ import annotations

from typing import Any

from emailsys.cli.options import Refused
from emailsys.config.exits import Exit
from emailsys.config.settings import Settings
from emailsys.interfaces import StoreError
from emailsys.ops.commands import Answer, Commands, Request
from emailsys.ops.doors import Hooks
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.supervisor import keep_owner
from emailsys.tap.explaining import explainer
from emailsys.telemetry import Telemetry


def carry_out(settings: Settings, request: Request) -> Any:
    """The answer of `Commands.answer`.

    @raise Refused: the store cannot be opened.
    """
    telemetry = Telemetry()

    async def action(store: Store) -> Answer:
        return await Commands(store, telemetry, Hooks(explain=explainer(settings, store))).answer(request)

    try:
        answer = run_offline(settings.store, settings.state, action, telemetry)
    except StoreError as error:
        raise Refused(str(error), Exit.UNAVAILABLE) from None
    # The daemon may run as another user than root, who is here: what root has made must stay the daemon's.
    keep_owner(settings.state)
    return answer
