"""The page that asks for a name again before a user, a domain, an alias or a route is removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from emailsys.control.requests import (
    AliasList,
    AliasRemove,
    DomainList,
    DomainRemove,
    Request,
    RouteList,
    RouteRemove,
    UserGet,
    UserRemove,
)
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import AddressSyntaxError, domain_key, parse
from emailsys.web.api.administration import Administration, alias_name, sort_key
from emailsys.web.api.problem import Problem
from emailsys.web.base.face import Answer, Call, see_other
from emailsys.web.base.refusal import Refusal
from emailsys.web.system.operators import BASE, Operators


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that can be removed.

    @ivar name: the name that must be typed.
    @ivar consequences: sentences about what happens.
    @ivar messages: how many messages of a maildrop would be deleted.
    @ivar request: the request that removes it.
    """

    kind: str
    name: str
    consequences: tuple[str, ...]
    messages: int
    request: Request


class RemovalPages:
    """Removals of users, domains, aliases and routes."""

    def __init__(self, administration: Administration, operators: Operators) -> None:
        self._do, self._carry_out = administration.do, administration.carry_out
        self._operators = operators
        operators.route("/remove", self.ask, Scope.SYSTEM_WRITE)
        # A large maildrop takes a while to delete.
        operators.route("/remove", self.remove, Scope.SYSTEM_WRITE, ("POST",), seconds=600.0)

    async def ask(self, call: Call) -> Answer:
        """Say what a removal does, and ask for the name."""
        return self._page(call, await self._find(call, call.first))

    def _page(self, call: Call, found: Removal, problem: str = "", code: int = 200) -> Answer:
        here = "routes" if found.kind == "route" else "directory"
        title = f"Remove the {found.kind} {found.name}"
        given = {name: call.form.get(name) or call.first(name) for name in ("kind", "name", "to", "from")}
        return call.page(
            "system/remove.html", code, title=title, here=here, base=BASE, found=found, given=given, problem=problem
        )

    async def remove(self, call: Call) -> Answer:
        """Remove it, if its name was typed."""
        form = call.form
        found = await self._find(call, form.get)
        if form.get("again").strip().casefold() != found.name.casefold():
            return self._page(call, found, f"Nothing was removed: type {found.name} to confirm.", 422)
        request = found.request
        if isinstance(request, UserRemove):
            request = replace(request, purge=form.get("purge") == "yes")
        try:
            await self._carry_out(await self._operators.actor(call), request)
        except Problem as error:
            return self._page(call, found, error.detail or error.title, error.status)
        if found.kind == "route":
            return see_other(f"{BASE}/routes?done=removed")
        return see_other(f"{BASE}/directory?done=remove-{found.kind}")

    async def _find(self, call: Call, value: Any) -> Removal:
        """Return what is to be removed.

        @param value: returns a value of the address or of the form by its name.
        @raise Refusal: it does not exist.
        """
        kind, name = value("kind"), value("name")
        try:
            match kind:
                case "user":
                    return await self._user(name)
                case "domain":
                    return await self._domain(name)
                case "alias":
                    return await self._alias(name)
                case "route":
                    return await self._route(value("to"), value("from"))
        except AddressSyntaxError:
            pass
        raise Refusal(404, "There is nothing of this name", "It may already have been removed.")

    async def _user(self, name: str) -> Removal:
        address = parse(name)
        row = await self._do(UserGet, address=address)
        if row is None:
            raise AddressSyntaxError("unknown")
        told = (
            "Its password, its tokens and its logins end at once. A forward of this account ends, too.",
            "Mail for this address is refused, unless a catch-all accepts it.",
            "This cannot be undone. To keep the mail and end only the logins, disable the account instead.",
        )
        return Removal("user", row["address"], told, row["messages"], UserRemove(address, purge=False))

    async def _domain(self, name: str) -> Removal:
        for row in await self._do(DomainList):
            if domain_key(row["name"]) == domain_key(name):
                told: tuple[str, ...] = (
                    "Its aliases are removed, too. Mail for its addresses is no longer accepted from other hosts.",
                )
                if row["users"]:
                    told = (f"It has {row['users']} users, which must be removed first.", *told)
                return Removal("domain", row["name"], told, 0, DomainRemove(row["name"]))
        raise AddressSyntaxError("unknown")

    async def _alias(self, name: str) -> Removal:
        alias = alias_name(name)
        for row in await self._do(AliasList, domain=alias.domain):
            if sort_key(row["name"]) == sort_key(name):
                told = (
                    f"Mail for this name goes to {', '.join(row['targets'])}. It is refused after the removal, unless "
                    "there is an account of the same name, or a catch-all.",
                )
                return Removal("alias", row["name"], told, 0, AliasRemove(alias))
        raise AddressSyntaxError("unknown")

    async def _route(self, to: str, from_: str) -> Removal:
        for row in await self._do(RouteList):
            if ((row["to"] or ""), (row["from"] or "")) == (to, from_):
                mail = f"Mail for {to or 'every domain'} from {from_ or 'every domain'}"
                told = (
                    f"{mail} goes to {row['host']}:{row['port']}. After the removal it goes the way of the next route "
                    "that fits, or to the MX hosts of its domain.",
                    *(("The password of its login is forgotten.",) if row["username"] else ()),
                )
                return Removal("route", row["host"], told, 0, RouteRemove(to, from_))
        raise AddressSyntaxError("unknown")
