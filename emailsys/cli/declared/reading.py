"""Reading of declared directories: TOML or JSON to values, with all problems of a file at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from emailsys.cli.declared.directory import DEFAULT, KINDS, ROUTE_FIELDS, Account, Alias, Directory, Domain, Route
from emailsys.config.outbound_keys import ROUTE
from emailsys.config.settings import RouteSettings
from emailsys.config.table import Table
from emailsys.config.values import Read, Unfit, a_boolean, a_domain, a_file_name, a_size, some_text
from emailsys.mail.address import Address, AddressSyntaxError, domain_key, is_domain, parse
from emailsys.mail.next_hop import NextHop, TLSPolicy, default_port
from emailsys.passwords import PasswordError, import_hash

_SIZE: Final = a_size(minimum=0, maximum=1 << 50)


class Malformed(Exception):
    """The file cannot be used. Each problem names the key, what was found and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _an_address(value: object) -> Address:
    try:
        if isinstance(value, str):
            return parse(value)
    except AddressSyntaxError:
        pass
    raise Unfit('a mail address, such as "ann@example.org"')


def _a_name(value: object) -> Address:
    """Read an address, or @domain, which becomes an address with an empty local part."""
    if isinstance(value, str) and value.startswith("@") and is_domain(value[1:]):
        return Address("", value[1:])
    try:
        return _an_address(value)
    except Unfit:
        raise Unfit('a mail address, or "@example.org" for a whole domain') from None


def _a_sender(value: object) -> Address:
    return Address("", "") if value == "*" else _a_name(value)


def _list_of(reader: Callable[[object], Address]) -> Read:
    def read(value: object) -> tuple[Address, ...]:
        if not isinstance(value, list):
            raise Unfit("a list of mail addresses")
        found: dict[tuple[str, str], Address] = {}
        for item in value:
            try:
                address = reader(item)
            except Unfit as error:
                raise Unfit(error.allowed, item) from None
            found.setdefault(address.key, address)
        return tuple(found.values())

    return read


def _a_quota(value: object) -> int:
    """Read a quota: a size, "none", or "default" for the default of the configuration."""
    if value in ("none", "default"):
        return 0 if value == "none" else DEFAULT
    try:
        return int(_SIZE(value))
    except Unfit:
        raise Unfit('a size such as "2 GiB", "none" or "default"') from None


def _a_domain_quota(value: object) -> int:
    return max(_a_quota(value), 0)


def _a_hash(value: object) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(import_hash(some_text(value)))
    except PasswordError as error:
        # The hash itself is a secret.
        raise Unfit(str(error), "a hash that cannot be used") from None


_DOMAIN: Final[Mapping[str, Read]] = {"name": a_domain, "postmaster": _an_address, "quota": _a_domain_quota}
_ACCOUNT: Final[Mapping[str, Read]] = {
    "address": _an_address,
    "hash": _a_hash,
    "password_file": a_file_name,
    "enabled": a_boolean,
    "quota": _a_quota,
    "may_send_as": _list_of(_a_sender),
    "forward": _list_of(_an_address),
    "keeps_copy": a_boolean,
}
_ROUTE: Final[Mapping[str, Read]] = {name: ROUTE[name] for name in (*ROUTE_FIELDS, "password_file")}
_ALIAS: Final[Mapping[str, Read]] = {"name": _a_name, "targets": _list_of(_an_address)}


def parse_file(octets: bytes, name: str, folder: Path) -> Directory:
    """Read a declared directory.

    @param name: the file's name, for the problems.
    @param folder: where the names of password files begin.
    @raise Malformed: the file cannot be used.
    """
    try:
        text = octets.decode("utf-8-sig")
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed([f"{name}: neither TOML nor JSON: {error}"]) from None
    problems: list[str] = []
    top = Table(name, "", document, problems)
    domains: list[Domain] = []
    accounts: list[Account] = []
    aliases: list[Alias] = []
    routes: list[Route] = []
    for table in top.elements("domains", "each with a name"):
        fields = table.read(_DOMAIN)
        table.require("name", 'a mail domain, such as "example.org"')
        if "name" in fields:
            # The name as it was typed; the reader makes it lower case.
            domains.append(Domain(**{**fields, "name": table.raw("name")}))
    for table in top.elements("accounts", "each with an address"):
        account = _account(table, folder)
        if account is not None:
            accounts.append(account)
    for table in top.elements("aliases", "each with a name and targets"):
        fields = table.read(_ALIAS)
        table.require("name", "a mail address")
        table.require("targets", "a list of mail addresses, at least one")
        if fields.get("targets") == ():
            table.wrong("targets", [], "at least one mail address")
        if len(fields) == len(_ALIAS):
            aliases.append(Alias(**fields))
    for table in top.elements("routes", "each with a host"):
        route = _route(table, folder)
        if route is not None:
            routes.append(route)
    top.close()
    found = Directory(
        tuple(domains), tuple(accounts), tuple(aliases), tuple(routes), frozenset(KINDS).intersection(document)
    )
    problems += [f"{name}: {problem}" for problem in _doubles(found)]
    if problems:
        raise Malformed(problems)
    return found


def _account(table: Table, folder: Path) -> Account | None:
    fields = table.read(_ACCOUNT)
    table.require("address", "a mail address")
    if "hash" in fields and "password_file" in fields:
        table.wrong("password_file", str(fields["password_file"]), "either hash or password_file")
    if "address" not in fields:
        return None
    if "password_file" in fields:
        fields["password_file"] = folder / fields["password_file"]
    return Account(credentials=fields.pop("hash", ()), **fields)


def _route(table: Table, folder: Path) -> Route | None:
    fields = table.read(_ROUTE)
    table.require("host", 'the smart host, such as "smtp.example.net"')
    if "password_file" in fields:
        fields["password_file"] = folder / fields["password_file"]
    if "username" in fields or "certificate_fingerprint" in fields:
        fields.setdefault("tls", TLSPolicy.VERIFIED)
    if fields.get("implicit_tls") and fields.get("tls") is TLSPolicy.NONE:
        table.wrong("tls", "none", "another policy if implicit_tls is true")
    if "host" not in fields:
        return None
    fields.setdefault("port", default_port(fields["host"]))
    # As the store keeps it: domains by their keys, and TLS that is only an opportunity is not used at a socket.
    for name in ("recipient_domain", "sender_domain"):
        fields[name] = domain_key(fields.get(name, ""))
    route = RouteSettings(**fields)
    return Route(replace(route, tls=NextHop(route.host, tls=route.tls).at_destination().tls))


def _doubles(found: Directory) -> Iterable[str]:
    keys: tuple[tuple[str, list[tuple[Hashable, str]]], ...] = (
        ("domain", [(domain_key(each.name), each.name) for each in found.domains]),
        ("account", [(each.address.key, str(each.address)) for each in found.accounts]),
        ("alias", [(each.name.key, str(each.name)) for each in found.aliases]),
        ("route", [(each.key, each.settings.host) for each in found.routes]),
    )
    for kind, pairs in keys:
        seen: set[Hashable] = set()
        for key, shown in pairs:
            if key in seen:
                yield f"the {kind} {shown} is declared twice"
            seen.add(key)
    accounts = {each.address.key for each in found.accounts}
    for alias in found.aliases:
        if alias.name.key in accounts:
            yield f"{alias.name} is declared both as an account and as an alias"


def of_store(answer: Mapping[str, Any]) -> Directory:
    """Make a directory of the answer to `directory.read`."""
    addresses, senders = _list_of(_an_address), _list_of(_a_sender)
    return Directory(
        tuple(
            Domain(row["name"], parse(row["postmaster"]) if row["postmaster"] else None, row["quota"] or 0)
            for row in answer["domains"]
        ),
        tuple(
            Account(
                parse(row["address"]),
                tuple((scheme, secret) for scheme, secret in row["credentials"]),
                None,
                row["enabled"],
                DEFAULT if row["quota"] is None else row["quota"],
                senders(row["may_send_as"]),
                addresses(row["forward"]),
                row["keeps_copy"],
            )
            for row in answer["accounts"]
        ),
        tuple(Alias(_a_name(row["name"]), addresses(row["targets"])) for row in answer["aliases"]),
        tuple(_stored_route(dict(row)) for row in answer["routes"]),
        frozenset(KINDS),
    )


def _stored_route(row: dict[str, Any]) -> Route:
    digest = row.pop("password_digest")
    settings = RouteSettings(**{**row, "tls": TLSPolicy(row["tls"])})
    return Route(settings, None if digest is None else (digest[0], digest[1]))
