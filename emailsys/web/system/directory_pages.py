"""The page of domains, users and aliases, and what an operator can change there."""

from __future__ import annotations

import re
from typing import Final

from emailsys.control.requests import (
    AliasList,
    AliasSet,
    DomainAdd,
    DomainList,
    DomainQuota,
    UserAdd,
    UserEnabled,
    UserList,
    UserQuota,
)
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import AddressSyntaxError, domain_key, parse
from emailsys.web.api.administration import Administration, alias_name, sort_key
from emailsys.web.api.problem import Problem
from emailsys.web.base.face import Answer, Call, see_other
from emailsys.web.base.refusal import Refusal
from emailsys.web.system.operators import BASE, Operators
from emailsys.web.system.table_pages import table_page

# Parameters of the page's query: the domain that is shown, and the first row of each table.
_QUERY: Final = ("domain", "domains", "users", "aliases")
_DONE: Final = {
    "add-domain": "The domain was added.",
    "add-user": "The account was added.",
    "enable": "The account can log in.",
    "disable": "The account cannot log in any more. It still receives mail.",
    "set-alias": "The alias was set.",
    "remove-alias": "The alias was removed.",
    "remove-user": "The user was removed.",
    "remove-domain": "The domain was removed.",
    "set-quota": "The quota was set.",
}
_UNITS: Final = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# A number of units, and its digits before the point.
_AMOUNT: Final = re.compile(r"([0-9]{1,7})(?:[.,]([0-9]{1,3}))?", re.ASCII)


class DirectoryPages:
    """Domains, users and aliases."""

    def __init__(self, administration: Administration, operators: Operators) -> None:
        self._administration = administration
        self._do, self._change = administration.do, administration.change
        self._operators = operators
        operators.route("/directory", self.show)
        operators.route("/directory", self.change, Scope.SYSTEM_WRITE, ("POST",))
        operators.route("/quota", self.show_quota, Scope.SYSTEM_WRITE)

    async def show(self, call: Call) -> Answer:
        """Show domains, users and aliases."""
        return await self._page(call)

    async def _page(self, call: Call, problem: str = "", code: int = 200) -> Answer:
        domains = await self._do(DomainList)
        asked = call.first("domain").strip()
        domain = asked if asked in {row["name"] for row in domains} else None
        users = await self._do(UserList, domain=domain)
        aliases = await self._do(AliasList, domain=domain)
        return call.page(
            "system/directory.html",
            code,
            title="Directory",
            here="directory",
            base=BASE,
            domains=table_page(call, "domains", domains, _QUERY),
            users=table_page(call, "users", users, _QUERY),
            aliases=table_page(call, "aliases", aliases, _QUERY),
            domain=domain,
            asked=asked,
            done=_DONE.get(call.first("done"), ""),
            problem=problem,
            may_change=await self._operators.may(call, Scope.SYSTEM_WRITE),
        )

    async def show_quota(self, call: Call) -> Answer:
        """Show the quota of a user or of a domain, and a form that changes it."""
        of = call.first("of")
        try:
            domain = parse(of).domain if "@" in of else None
        except AddressSyntaxError:
            raise Refusal(404, "There is nothing of this name", "It may already have been removed.") from None
        rows = await self._do(DomainList) if domain is None else await self._do(UserList, domain=domain)
        key = domain_key if domain is None else sort_key
        for row in rows:
            name = row["name"] if domain is None else row["address"]
            if key(name) == key(of):
                return call.page(
                    "system/quota.html",
                    title=f"Quota of {name}",
                    here="directory",
                    base=BASE,
                    name=name,
                    row=row,
                    is_user=domain is not None,
                    units=list(_UNITS),
                    amount=_amount(row["quota"]),
                )
        raise Refusal(404, "There is nothing of this name", "It may already have been removed.")

    async def change(self, call: Call) -> Answer:
        """Carry out a form of the page."""
        wanted = call.form.get("do")
        try:
            await self._carry_out(wanted, call)
        except AddressSyntaxError as error:
            return await self._page(call, f"This is no mail address: {error}", 422)
        except Problem as error:
            return await self._page(call, error.detail or error.title, error.status)
        return see_other(f"{BASE}/directory?done={wanted if wanted in _DONE else ''}")

    async def _carry_out(self, wanted: str, call: Call) -> None:
        form, actor = call.form, await self._operators.actor(call)
        address = form.get("address").strip()
        match wanted:
            case "add-domain":
                await self._change(actor, DomainAdd, name=form.get("name").strip(), postmaster=parse(address))
            case "add-user":
                made = await self._administration.credentials(form.get("password"), parse(address))
                await self._change(actor, UserAdd, address=parse(address), credentials=made)
            case "enable" | "disable":
                await self._change(actor, UserEnabled, address=parse(address), enabled=wanted == "enable")
            case "set-alias":
                targets = tuple(parse(one) for one in form.get("targets").replace(",", " ").split())
                await self._change(actor, AliasSet, name=alias_name(address), targets=targets)
            case "set-quota":
                octets = _octets(form.get("limit"), form.get("amount"), form.get("unit"))
                if "@" in address:
                    await self._change(actor, UserQuota, address=parse(address), octets=octets)
                else:
                    await self._change(actor, DomainQuota, name=address, octets=octets or 0)


def _octets(limit: str, amount: str, unit: str) -> int | None:
    """Return a quota that was typed: 0 for no limit, None for the default of the configuration.

    @raise Problem: it is no size.
    """
    if limit in ("none", "default"):
        return 0 if limit == "none" else None
    match = _AMOUNT.fullmatch(amount.strip())
    octets = 0
    if match is not None and unit in _UNITS:
        octets = round(float(f"{match[1]}.{match[2] or 0}") * _UNITS[unit])
    if not octets:
        raise Problem(422, "invalid", "The quota is a number such as 2 or 1.5. Choose “no limit” to remove it.")
    return octets


def _amount(octets: int | None) -> tuple[str, str]:
    """Return a quota as the form shows it: a number and its unit."""
    if octets is None:
        return "", "GiB"
    unit = next((name for name in reversed(_UNITS) if octets >= _UNITS[name]), "MiB")
    return f"{octets / _UNITS[unit]:.3f}".rstrip("0").rstrip("."), unit
