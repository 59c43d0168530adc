"""Administrative requests: sent to the running daemon, or carried out on the store if no daemon runs."""

from __future__ import annotations

import time
from typing import Any, Final

from emailsys.cli.options import NoStore, Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.config.locations import SYSTEM_STATE
from emailsys.control.answers import BUSY, DEFECT, MISSING
from emailsys.control.control_socket import HAS_CONTROL, NO_CONTROL, ControlFailed, NoDaemon, ask
from emailsys.control.directory_requests import DirectoryChange
from emailsys.control.requests import MAKES_FIRST_STORE, Request
from emailsys.platforms.users import is_root

# Seconds that a daemon which has just been started gets to open its control socket.
START_PATIENCE: Final = 5.0
_STATUS: Final = {BUSY: Exit.TEMPORARY, DEFECT: Exit.SOFTWARE}


def administer(where: Places, request: Request, timeout: float | None = None) -> Any:
    """Carry out a request and return its result.

    @param timeout: seconds to wait for the answer of a daemon; None for the default of `ask`.
    @raise Refused: it cannot be carried out.
    """
    answer = by_daemon(where, request, timeout)
    if answer is None:
        from emailsys.cli.direct_access import carry_out
        from emailsys.supervisor import check_state_folder, make_state_folder

        settings = where.settings()
        where.announce(settings.store.url)
        create = isinstance(request, (*MAKES_FIRST_STORE, DirectoryChange))
        (make_state_folder if create else check_state_folder)(where.folder)
        try:
            answer = carry_out(settings, request, create)
        except NoStore as error:
            raise NoStore(error.message + system_store_hint(where)) from None
    return result_of(answer)


def system_store_hint(where: Places) -> str:
    """Return a sentence on the system's own store if this user looked only at a personal default, else ""."""
    if is_root() or not where.state.is_default or not SYSTEM_STATE.is_dir():
        return ""
    return f" The system's own state folder is {SYSTEM_STATE}: try sudo, or --state {SYSTEM_STATE}."


def result_of(answer: dict[str, Any]) -> Any:
    """Return the result in an answer.

    @raise Refused: the answer has an error instead.
    """
    if "error" not in answer:
        return answer["result"]
    kind, message = answer["error"]["kind"], str(answer["error"]["message"])
    if kind == MISSING:
        raise NoStore(message)
    raise Refused(message, _STATUS.get(kind, Exit.DATA))


def by_daemon(where: Places, request: Request, timeout: float | None = None) -> dict[str, Any] | None:
    """Return the daemon's answer, or None if no daemon runs. Waits for a daemon that is still starting.

    @param timeout: seconds to wait for the answer; None for the default of `ask`.
    @raise Refused: a daemon runs but does not answer, or this user may not talk to it.
    """
    deadline = time.monotonic() + (START_PATIENCE if timeout is None else min(START_PATIENCE, timeout))
    while True:
        try:
            answer = ask(where.folder, request) if timeout is None else ask(where.folder, request, timeout)
        except NoDaemon:
            from emailsys.supervisor import holder_of

            holder = holder_of(where.folder)
            if holder is None:
                return None
            if not HAS_CONTROL:
                raise Refused(f"{NO_CONTROL}: stop process {holder} first", Exit.UNAVAILABLE) from None
            if time.monotonic() > deadline:
                raise Refused(
                    f"the daemon, process {holder}, holds {where.folder} but does not answer", Exit.UNAVAILABLE
                ) from None
            time.sleep(0.05)
        except ControlFailed as error:
            raise Refused(str(error), Exit.UNAVAILABLE) from None
        else:
            # The daemon may use another configuration than the one that this command would find.
            where.announce(answer.get("store"))
            return answer
