"""Command dispatch: carry out an operator's request and return the answer as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.control.account_commands import ACCOUNT_HANDLERS
from emailsys.control.queue_commands import QUEUE_HANDLERS
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import Request, Status
from emailsys.control.routing_commands import ROUTING_HANDLERS
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces import NoDomains, StoreError, StoreMissing
from emailsys.interfaces.operators import AdminError
from emailsys.telemetry import Telemetry

Answer = dict[str, Any]

# Kinds of errors in an answer.
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"
BUSY: Final = "busy"
MISSING: Final = "missing"
DEFECT: Final = "defect"

_NO_HOOKS: Final = Hooks()


def error_answer(kind: str, message: str) -> Answer:
    """Return the answer to a request that was not carried out."""
    return {"error": {"kind": kind, "message": message}}


class Commands:
    """The commands that operators can send, carried out on a store."""

    def __init__(self, store: StoreAccess, telemetry: Telemetry, hooks: Hooks = _NO_HOOKS) -> None:
        self._store = store
        self._telemetry = telemetry
        self._hooks = hooks

    async def answer(self, request: object) -> Answer:
        """Carry out a request, given as a `Request` or as a JSON object. Never raises.

        The answer has either `result`, or `error` with `kind` and `message`. It has `store` if that is not the default
        store.
        """
        answer = await self._answer(request)
        return answer if self._hooks.store is None else {**answer, "store": self._hooks.store}

    async def _answer(self, request: object) -> Answer:
        try:
            known = request if isinstance(request, Request) else read_request(request)
            handler = _HANDLERS.get(type(known))
            if handler is None:
                raise MalformedRequest(f"command: found {known.command!r}, which needs a running daemon")
            return {"result": await handler(known, self._store, self._hooks)}
        except MalformedRequest as error:
            return error_answer(MALFORMED, str(error))
        except (AdminError, NoDomains) as error:
            return error_answer(REFUSED, str(error))
        except StoreMissing as error:
            return error_answer(MISSING, str(error))
        except StoreError as error:
            return error_answer(BUSY, f"the store is not available now; nothing was changed: {error}")
        except Exception:
            self._telemetry.exception("control-exception", Failure())
            return error_answer(DEFECT, "unexpected exception; see the daemon's log")


async def _status(request: Status, store: StoreAccess, hooks: Hooks) -> Mapping[str, Any]:
    if hooks.status is None:
        raise MalformedRequest("command: found 'status', which needs a running daemon")
    return hooks.status()


_HANDLERS: Final[Handlers] = {**ACCOUNT_HANDLERS, **ROUTING_HANDLERS, **QUEUE_HANDLERS, Status: _status}
