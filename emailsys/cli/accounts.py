"""Carry out an administrative request: through the daemon where one runs, else directly on the store."""

from __future__ import annotations

import time
from typing import Any, Final

from emailsys.cli.options import Places, Refused
from emailsys.config.exits import Exit
from emailsys.ops.commands import BUSY, DEFECT
from emailsys.ops.control import ControlFailed, NoDaemon, ask
from emailsys.supervisor import holder_of, make_state_folder

# Seconds a daemon that has just been started gets to open its control socket.
START_PATIENCE: Final = 5.0
# What asks for mail that is there: the answer of an empty store that it makes itself would hide that the folder is the
# wrong one.
_OF_MAIL: Final = ("queue.", "trace", "verify")
_STATUS: Final = {BUSY: Exit.TEMPORARY, DEFECT: Exit.SOFTWARE}


class NoStore(Refused):
    """Neither a daemon nor a store is there."""


def administer(where: Places, request: dict[str, Any]) -> Any:
    """The result of a request.

    @raise Refused: it cannot be carried out.
    """
    answer = _by_daemon(where, request)
    if answer is None:
        from emailsys.cli.direct import carry_out, has_store

        settings = where.settings()
        where.announce(settings.store.url)
        if request["command"].startswith(_OF_MAIL) and not has_store(settings):
            raise NoStore(f"there is no store in {where.folder}; `emailsys domain add` begins one", Exit.NO_INPUT)
        make_state_folder(where.folder)
        answer = carry_out(settings, request)
    if "error" in answer:
        error = answer["error"]
        raise Refused(str(error["message"]), _STATUS.get(error["kind"], Exit.DATA))
    return answer["result"]


def _by_daemon(where: Places, request: dict[str, Any]) -> dict[str, Any] | None:
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
