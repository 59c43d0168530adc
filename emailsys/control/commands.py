"""Command dispatch: carry out an operator's request and return the answer as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.control.account_commands import ACCOUNT_HANDLERS
from emailsys.control.answers import BUSY, DEFECT, MALFORMED, MISSING, REFUSED, Answer, error_answer
from emailsys.control.change_log import log_change
from emailsys.control.directory_commands import DIRECTORY_HANDLERS
from emailsys.control.queue_commands import QUEUE_HANDLERS
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import Request, Status, WebLogin
from emailsys.control.routing_commands import ROUTING_HANDLERS
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.control.token_commands import TOKEN_HANDLERS
from emailsys.control.wire_commands import WIRE_HANDLERS
from emailsys.interfaces import NoDomains, StoreError, StoreMissing
from emailsys.interfaces.operators import Actor, AdminError
from emailsys.telemetry import Telemetry

_NO_HOOKS: Final = Hooks()


class Commands:
    """The commands that operators can send, carried out on a store."""

    def __init__(self, store: StoreAccess, telemetry: Telemetry, hooks: Hooks = _NO_HOOKS) -> None:
        self._store = store
        self._telemetry = telemetry
        self._hooks = hooks

    async def answer(self, request: object, actor: Actor | None = None) -> Answer:
        """Carry out a request, given as a `Request` or as a JSON object. Never raises.

        A change is logged with the name of the actor.

        The answer has either `result`, or `error` with `kind` and `message`. It has `store` if that is not the default
        store.
        """
        answer = await self._answer(request, actor)
        return answer if self._hooks.store is None else {**answer, "store": self._hooks.store}

    async def _answer(self, request: object, actor: Actor | None) -> Answer:
        try:
            known = request if isinstance(request, Request) else read_request(request)
            handler = _HANDLERS.get(type(known))
            if handler is None:
                raise MalformedRequest(f"command: found {known.command!r}, which needs a running daemon")
            result = await handler(known, self._store, self._hooks)
            log_change(self._telemetry, actor, known)
            return {"result": result}
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


async def _web_login(request: WebLogin, store: StoreAccess, hooks: Hooks) -> Mapping[str, Any]:
    if hooks.status is None or hooks.web_link is None:
        raise AdminError("no daemon with a web face runs. Set web.listen in the configuration, and restart the daemon.")
    status = hooks.status()
    listening = {name: list(status["listening"].get(name, ())) for name in ("http", "https")}
    return {"path": hooks.web_link(request.address), "hostname": status["hostname"], **listening}


_HANDLERS: Final[Handlers] = {
    **ACCOUNT_HANDLERS,
    **TOKEN_HANDLERS,
    **ROUTING_HANDLERS,
    **DIRECTORY_HANDLERS,
    **QUEUE_HANDLERS,
    **WIRE_HANDLERS,
    Status: _status,
    WebLogin: _web_login,
}
