"""The page of routes: the way of an address as a drawing, and the routes that an operator sets."""

from __future__ import annotations

from typing import Any, Final

from emailsys.control.requests import RouteExplain, RouteList
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import AddressSyntaxError, parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.web.api.administration import Administration
from emailsys.web.api.problem import Problem
from emailsys.web.base.face import Answer, Call, see_other
from emailsys.web.system.drawings import route_graph
from emailsys.web.system.operators import BASE, Operators

_TEXTS: Final = ("to", "from", "host", "certificate_name", "certificate_fingerprint", "username")
_DONE: Final = {
    "set": "The route was set. Mail that waited for its host is tried now.",
    "removed": "The route was removed.",
}
_PORT_DIGITS: Final = 5


class RoutePages:
    """Routes."""

    def __init__(self, administration: Administration, operators: Operators) -> None:
        self._administration = administration
        self._operators = operators
        operators.route("/routes", self.show)
        operators.route("/routes", self.set_route, Scope.SYSTEM_WRITE, ("POST",))

    async def show(self, call: Call) -> Answer:
        """Show the routes, and draw the way of an address."""
        return await self._page(call)

    async def _page(self, call: Call, problem: str = "", code: int = 200) -> Answer:
        do = self._administration.do
        address, sender = call.first("address").strip(), call.first("sender").strip()
        graph = None
        if address:
            try:
                way = await do(RouteExplain, parse(address), parse(sender) if sender else None)
                graph = route_graph(way)
            except AddressSyntaxError as error:
                problem = f"This is no mail address: {error}"
            except Problem as error:
                problem = error.detail
        return call.page(
            "system/routes.html",
            code,
            title="Routes",
            here="routes",
            base=BASE,
            rows=await do(RouteList),
            graph=graph,
            problem=problem,
            done=_DONE.get(call.first("done"), ""),
            address=address,
            sender=sender,
            typed={name: call.form.get(name) for name in (*_TEXTS, "port", "tls", "implicit_tls")},
            policies=[policy.value for policy in TLSPolicy],
            may_change=await self._operators.may(call, Scope.SYSTEM_WRITE),
        )

    async def set_route(self, call: Call) -> Answer:
        """Set a route. One for the same domains is replaced."""
        form = call.form
        values: dict[str, Any] = {name: form.get(name).strip() for name in _TEXTS}
        values |= {
            "tls": form.get("tls"),
            "password": form.get("password"),
            "implicit_tls": bool(form.get("implicit_tls")),
        }
        # Without a port, the command chooses that of SMTP or of LMTP.
        if port := form.get("port").strip():
            if not port.isascii() or not port.isdecimal() or len(port) > _PORT_DIGITS:
                return await self._page(call, "The port is a number from 1 to 65535.", 422)
            values["port"] = int(port)
        try:
            await self._administration.set_route(await self._operators.actor(call), values)
        except Problem as error:
            return await self._page(call, error.detail or error.title, error.status)
        return see_other(f"{BASE}/routes?done=set")
