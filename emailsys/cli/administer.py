"""Carry out an administrative request: through the daemon where one runs, else directly on the store."""

from __future__ import annotations

import time
from typing import Any, Final

from emailsys.cli.options import NoStore, Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.ops.commands import BUSY, DEFECT, MISSING
from emailsys.ops.control import ControlFailed, NoDaemon, ask
from emailsys.ops.requests import DomainAdd, Request
from emailsys.supervisor import check_state_folder, holder_of, make_state_folder

# Seconds a daemon that has just been started gets to open its control socket.
START_PATIENCE: Final = 5.0
# What makes a store where there is none (decision 0023): all else would hide that the folder is the wrong one.
_MAKES_A_STORE: Final = (DomainAdd,)
_STATUS: Final = {BUSY: Exit.TEMPORARY, DEFECT: Exit.SOFTWARE}


def administer(where: Places, request: Request) -> Any:
    """The result of a request.

    @raise Refused: it cannot be carried out.
    """
    answer = by_daemon(where, request)
    if answer is None:
        from emailsys.cli.direct_access import carry_out

        settings = where.settings()
        where.announce(settings.store.url)
        create = isinstance(request, _MAKES_A_STORE)
        (make_state_folder if create else check_state_folder)(where.folder)
        answer = carry_out(settings, request, create)
    return result_of(answer)


def result_of(answer: dict[str, Any]) -> Any:
    """The result in an answer.

    @raise Refused: it tells why there is none.
    """
    if "error" not in answer:
        return answer["result"]
    kind, message = answer["error"]["kind"], str(answer["error"]["message"])
    if kind == MISSING:
        raise NoStore(message)
    raise Refused(message, _STATUS.get(kind, Exit.DATA))


def by_daemon(where: Places, request: Request) -> dict[str, Any] | None:
    """The answer of the daemon; None where none runs."""
    deadline = time.monotonic() + START_PATIENCE
    while True:
        try:
            answer = ask(where.folder, request)
        except NoDaemon:
            holder = holder_of(where.folder)
            if holder is None:
                return None
            if time.monotonic() > deadline:
                raise Refused(
                    f"the daemon, process {holder}, holds {where.folder} but does not answer", Exit.UNAVAILABLE
                ) from None
            time.sleep(0.05)
        except ControlFailed as error:
            raise Refused(str(error), Exit.UNAVAILABLE) from None
        else:
            # The daemon's own configuration may be another than the one that would be looked for here.
            where.announce(answer.get("store"))
            return answer
