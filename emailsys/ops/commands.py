"""Carry out an operator's request, a JSON object, and answer with a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.interfaces import NoDomains, StoreError, StoreMissing
from emailsys.operations import AdminError
from emailsys.ops.account_commands import ACCOUNT_COMMANDS
from emailsys.ops.operation import Run, Understand
from emailsys.ops.queue_commands import QUEUE_COMMANDS
from emailsys.ops.request_fields import Fields, MalformedRequest
from emailsys.ops.routing_commands import ROUTING_COMMANDS
from emailsys.ops.store_access import Doors, Hooks
from emailsys.telemetry import Telemetry

Request = Mapping[str, Any]
Answer = dict[str, Any]

# Kinds of errors in an answer.
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"
BUSY: Final = "busy"
MISSING: Final = "missing"
DEFECT: Final = "defect"

_COMMANDS: Final[Mapping[str, Understand]] = {**ACCOUNT_COMMANDS, **ROUTING_COMMANDS, **QUEUE_COMMANDS}
_NO_HOOKS: Final = Hooks()


def error_answer(kind: str, message: str) -> Answer:
    """An answer that tells why a request was not carried out."""
    return {"error": {"kind": kind, "message": message}}


class Commands:
    """What a request can ask for: the store by its doors, and how the daemon is."""

    def __init__(self, doors: Doors, telemetry: Telemetry, hooks: Hooks = _NO_HOOKS) -> None:
        self._doors = doors
        self._telemetry = telemetry
        self._hooks = hooks

    async def answer(self, request: object) -> Answer:
        """Carry a request out; nothing is raised.

        The answer has `result`, or `error` with `kind` and `message`; and `store` where that is not the default one.
        """
        answer = await self._answer(request)
        return answer if self._hooks.store is None else {**answer, "store": self._hooks.store}

    async def _answer(self, request: object) -> Answer:
        try:
            run = self._understand(request)
        except MalformedRequest as error:
            return error_answer(MALFORMED, str(error))
        try:
            return {"result": await run(self._doors, self._hooks)}
        except (AdminError, NoDomains) as error:
            return error_answer(REFUSED, str(error))
        except StoreMissing as error:
            return error_answer(MISSING, str(error))
        except StoreError as error:
            return error_answer(BUSY, f"the store could not do it now, nothing was changed: {error}")
        except Exception:
            self._telemetry.surprise("control", Failure())
            return error_answer(DEFECT, "an unexpected error; the daemon's log has it")

    def _understand(self, request: object) -> Run:
        if not isinstance(request, dict):
            raise MalformedRequest(f"found {type(request).__name__}; allowed: a JSON object with the field command")
        fields = Fields(request)
        name = fields.text("command")
        if name == "status" and self._hooks.status is not None:
            fields.close()
            return _status
        if name not in _COMMANDS:
            raise MalformedRequest(f"command: found {name!r}; allowed: {', '.join(_COMMANDS)}")
        run = _COMMANDS[name](fields)
        fields.close()
        return run


async def _status(doors: Doors, hooks: Hooks) -> Mapping[str, Any]:
    assert hooks.status is not None
    return hooks.status()
