"""Operations for domains, users and aliases."""

from __future__ import annotations

from typing import Any, Final

from emailsys.control.requests import (
    AliasList,
    AliasRemove,
    AliasSet,
    DomainAdd,
    DomainList,
    DomainRemove,
    UserAdd,
    UserEnabled,
    UserForward,
    UserGet,
    UserList,
    UserPassword,
    UserQuota,
    UserRemove,
)
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import Address, AddressSyntaxError, domain_key, is_mail_domain, parse
from emailsys.web.api.administration import Administration, alias_name, sort_key
from emailsys.web.api.cursor import PAGE, page, page_of
from emailsys.web.api.operation import JSON_TYPE, Call, Operation, Parameter, Result, Success, in_path
from emailsys.web.api.problem import not_allowed, not_found
from emailsys.web.api.schema import Schema, address, count, domain, flag, or_null, record, several, text

_REFUSED: Final = {409: "It exists already, does not exist, or the change is not allowed."}
_QUOTA: Final = 1 << 50
_MAX_TARGETS: Final = 1000
_USAGE: Final[dict[str, Schema]] = {
    "octets": count("Octets of its mail."),
    "quota": or_null(count("The most octets; null for no limit.")),
    "used": or_null({"type": "number", "description": "The used share of the quota; 1 is full."}),
}
_DOMAIN: Final = record(
    {
        "name": domain(),
        "postmaster": or_null(address("Who gets mail for postmaster and abuse.")),
        "users": count("Number of its accounts."),
        **_USAGE,
    }
)
_USER: Final = record(
    {
        "address": address(),
        "enabled": flag("Whether it can log in."),
        "messages": count("Messages in its maildrop."),
        **_USAGE,
        "forward": several(address(), "Where its mail is forwarded."),
        "keeps_copy": flag("Whether the maildrop gets forwarded mail, too."),
    }
)
_NAME: Final = text("An address, or @ and a domain for the catch-all.", 400, 2)
_ALIAS: Final = record({"name": _NAME, "targets": several(address(), "Where its mail goes.")})
_GONE: Final = Success("Removed.", status=204)
_TARGETS: Final = several(address(), "Addresses of this system or of others.", _MAX_TARGETS, 1)
_OF_DOMAIN: Final = Parameter("domain", domain("Only those of this domain."))


class Directory:
    """Domains, users and aliases."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        self._do, self._change = administration.do, administration.change

    async def list_domains(self, call: Call) -> Result:
        """Answer GET /domains."""
        rows = sorted(await self._do(DomainList), key=lambda row: domain_key(row["name"]))
        values = call.values
        return Result(page(rows, values["limit"], values.get("cursor"), lambda row: (domain_key(row["name"]),)))

    async def add_domain(self, call: Call) -> Result:
        """Answer POST /domains."""
        await self._change(call.actor, DomainAdd, name=call.body["name"], postmaster=parse(call.body["postmaster"]))
        return Result(await self._domain(call.body["name"]), 201)

    async def _domain(self, name: str) -> Any:
        for row in await self._do(DomainList):
            if domain_key(row["name"]) == domain_key(name):
                return row
        raise not_found(f"There is no domain {name}.")

    async def remove_domain(self, call: Call) -> Result:
        """Answer DELETE /domains/{domain}."""
        await self._domain(call.values["domain"])
        await self._change(call.actor, DomainRemove, name=call.values["domain"])
        return Result(status=204)

    async def list_users(self, call: Call) -> Result:
        """Answer GET /users."""
        values = call.values
        rows = sorted(await self._do(UserList, domain=values.get("domain")), key=lambda row: sort_key(row["address"]))
        return Result(page(rows, values["limit"], values.get("cursor"), lambda row: sort_key(row["address"])))

    async def get_user(self, call: Call) -> Result:
        """Answer GET /users/{address}."""
        return Result(await self._user(call.values["address"]))

    async def _user(self, name: str) -> Any:
        row = await self._do(UserGet, address=parse(name))
        if row is None:
            raise not_found(f"There is no user {name}.")
        return row

    async def add_user(self, call: Call) -> Result:
        """Answer POST /users."""
        name = parse(call.body["address"])
        # Without the domain, the password would be hashed for nothing.
        await self._domain(name.domain)
        made = await self._administration.credentials(call.body["password"], name)
        await self._change(call.actor, UserAdd, address=name, credentials=made)
        return Result(await self._user(call.body["address"]), 201)

    async def change_user(self, call: Call) -> Result:
        """Answer PATCH /users/{address}. The changes are made in a fixed order, one after the other."""
        name, body = call.values["address"], call.body
        await self._user(name)
        if not body:
            raise not_allowed([("", "name at least one property that is to be changed")])
        target = parse(name)
        if "password" in body:
            made = await self._administration.credentials(body["password"], parse(name))
            await self._change(call.actor, UserPassword, address=target, credentials=made)
        if "enabled" in body:
            await self._change(call.actor, UserEnabled, address=target, enabled=body["enabled"])
        if "quota" in body:
            await self._change(call.actor, UserQuota, address=target, octets=body["quota"] or 0)
        if "forward" in body or "keeps_copy" in body:
            row = await self._user(name)
            targets = tuple(parse(one) for one in body.get("forward", row["forward"]))
            keeps_copy = body.get("keeps_copy", row["keeps_copy"])
            await self._change(call.actor, UserForward, address=target, targets=targets or None, keeps_copy=keeps_copy)
        return Result(await self._user(name))

    async def remove_user(self, call: Call) -> Result:
        """Answer DELETE /users/{address}."""
        name = call.values["address"]
        await self._user(name)
        await self._change(call.actor, UserRemove, address=parse(name), purge=call.values["purge"])
        return Result(status=204)

    async def list_aliases(self, call: Call) -> Result:
        """Answer GET /aliases."""
        values = call.values
        rows = sorted(await self._do(AliasList, domain=values.get("domain")), key=lambda row: sort_key(row["name"]))
        return Result(page(rows, values["limit"], values.get("cursor"), lambda row: sort_key(row["name"])))

    async def set_alias(self, call: Call) -> Result:
        """Answer PUT /aliases/{name}."""
        targets = tuple(parse(one) for one in call.body["targets"])
        return Result(await self._change(call.actor, AliasSet, name=_alias(call), targets=targets))

    async def remove_alias(self, call: Call) -> Result:
        """Answer DELETE /aliases/{name}."""
        await self._change(call.actor, AliasRemove, name=_alias(call))
        return Result(status=204)


def _alias(call: Call) -> Address:
    name = call.values["name"]
    try:
        if not name.startswith("@") or is_mail_domain(name[1:]):
            return alias_name(name)
    except AddressSyntaxError:
        pass
    raise not_allowed([("name", "allowed: a mail address, or @ and a domain for its catch-all")])


def directory_operations(administration: Administration) -> tuple[Operation, ...]:
    """Return the operations."""
    directory = Directory(administration)
    read, write = Scope.SYSTEM_READ, Scope.SYSTEM_WRITE
    user, name = in_path("address", address("The account.")), in_path("name", _NAME)
    return (
        Operation(
            "listDomains",
            "GET",
            "/domains",
            "List the domains.",
            read,
            directory.list_domains,
            Success("A page of domains, by name.", page_of(_DOMAIN)),
            "Directory",
            parameters=PAGE,
        ),
        Operation(
            "addDomain",
            "POST",
            "/domains",
            "Add a domain.",
            write,
            directory.add_domain,
            Success("The domain.", _DOMAIN, status=201),
            "Directory",
            problems=_REFUSED,
            bodies={
                JSON_TYPE: record(
                    {
                        "name": domain(),
                        "postmaster": address(
                            "The account that gets mail for postmaster and abuse. It may be added later."
                        ),
                    }
                )
            },
        ),
        Operation(
            "removeDomain",
            "DELETE",
            "/domains/{domain}",
            "Remove a domain that has no users.",
            write,
            directory.remove_domain,
            _GONE,
            "Directory",
            problems={404: "There is no such domain.", **_REFUSED},
            parameters=(in_path("domain", domain()),),
        ),
        Operation(
            "listUsers",
            "GET",
            "/users",
            "List the accounts.",
            read,
            directory.list_users,
            Success("A page of accounts, by domain and name.", page_of(_USER)),
            "Directory",
            parameters=(_OF_DOMAIN, *PAGE),
            problems={409: "There is no such domain."},
        ),
        Operation(
            "addUser",
            "POST",
            "/users",
            "Add an account.",
            write,
            directory.add_user,
            Success("The account.", _USER, status=201),
            "Directory",
            problems={404: "Its domain does not exist.", **_REFUSED},
            bodies={JSON_TYPE: record({"address": address(), "password": text("Its password.", 1000, 1)})},
        ),
        Operation(
            "getUser",
            "GET",
            "/users/{address}",
            "Show an account.",
            read,
            directory.get_user,
            Success("The account.", _USER),
            "Directory",
            parameters=(user,),
            problems={404: "There is no such user."},
        ),
        Operation(
            "changeUser",
            "PATCH",
            "/users/{address}",
            "Change an account.",
            write,
            directory.change_user,
            Success("The account after the change.", _USER),
            "Directory",
            "Properties that are left out stay as they are.",
            (user,),
            {
                JSON_TYPE: record(
                    {
                        "password": text("A new password.", 1000, 1),
                        "enabled": flag("Whether it can log in."),
                        "quota": or_null(count("The most octets of its maildrop; null for no limit.", 1, _QUOTA)),
                        "forward": several(address(), "Where its mail is forwarded; empty for nowhere.", _MAX_TARGETS),
                        "keeps_copy": flag("Whether the maildrop gets forwarded mail, too."),
                    },
                    optional=("password", "enabled", "quota", "forward", "keeps_copy"),
                )
            },
            {404: "There is no such user.", **_REFUSED},
        ),
        Operation(
            "removeUser",
            "DELETE",
            "/users/{address}",
            "Remove an account.",
            write,
            directory.remove_user,
            _GONE,
            "Directory",
            "Refused while its maildrop has mail, unless `purge` is true.",
            (user, Parameter("purge", flag("Whether its mail is deleted. This cannot be undone.", default=False))),
            problems={404: "There is no such user.", **_REFUSED},
            seconds=600.0,
        ),
        Operation(
            "listAliases",
            "GET",
            "/aliases",
            "List the aliases.",
            read,
            directory.list_aliases,
            Success("A page of aliases, by domain and name.", page_of(_ALIAS)),
            "Directory",
            parameters=(_OF_DOMAIN, *PAGE),
            problems={409: "There is no such domain."},
        ),
        Operation(
            "setAlias",
            "PUT",
            "/aliases/{name}",
            "Set where mail for a name goes.",
            write,
            directory.set_alias,
            Success("The alias.", _ALIAS),
            "Directory",
            parameters=(name,),
            problems=_REFUSED,
            bodies={JSON_TYPE: record({"targets": _TARGETS})},
        ),
        Operation(
            "removeAlias",
            "DELETE",
            "/aliases/{name}",
            "Remove an alias.",
            write,
            directory.remove_alias,
            _GONE,
            "Directory",
            parameters=(name,),
            problems=_REFUSED,
        ),
    )
