"""Writing of declared directories: values to TOML or JSON, with hashes and without passwords."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from emailsys.cli.declared.directory import DEFAULT, KINDS, ROUTE_FIELDS, Account, Alias, Directory, Route, shown
from emailsys.config.settings import RouteSettings
from emailsys.config.toml_text import toml_string
from emailsys.config.values import shown_size
from emailsys.mail.address import ROLES
from emailsys.passwords import ARGON2ID, IMPORTED

_HEADING: Final = "# Domains, accounts, aliases and routes. `emailsys apply` makes a store like this one.\n"
_NOT_EXPORTED: Final = "# password_file names a file with the password, which is not exported.\n"


def quota_text(octets: int | None) -> str:
    """Return a quota as a file has it."""
    if octets is None or octets == DEFAULT:
        return "default"
    if not octets:
        return "none"
    size = shown_size(octets).strip('"')
    # The text of a size has a unit.
    return f"{size} B" if size.isdigit() else size


def as_document(directory: Directory) -> dict[str, list[dict[str, Any]]]:
    """Return the JSON form of a directory. Values that are defaults are left out."""
    postmasters = {each.name: each.postmaster for each in directory.domains}
    return {
        "domains": [
            {
                "name": each.name,
                **({"postmaster": str(each.postmaster)} if each.postmaster else {}),
                **({"quota": quota_text(each.quota)} if each.quota else {}),
            }
            for each in directory.domains
        ],
        "accounts": list(map(_account, directory.accounts)),
        "aliases": [
            {"name": shown(each.name), "targets": list(map(str, each.targets))}
            for each in directory.aliases
            if not _is_implied(each, postmasters)
        ],
        "routes": list(map(_route, directory.routes)),
    }


def _is_implied(alias: Alias, postmasters: Mapping[str, Any]) -> bool:
    """Whether `domain add` makes this alias for the postmaster of the domain."""
    postmaster = postmasters.get(alias.name.domain)
    keys = [target.key for target in alias.targets]
    return alias.name.key[0] in ROLES and postmaster is not None and keys == [postmaster.key]


def _account(account: Account) -> dict[str, Any]:
    row: dict[str, Any] = {"address": str(account.address)}
    secrets = dict(account.credentials)
    secret = secrets.get(ARGON2ID) or secrets.get(IMPORTED)
    if secret:
        row["hash"] = secret
    if account.enabled is False:
        row["enabled"] = False
    if account.quota not in (None, DEFAULT):
        row["quota"] = quota_text(account.quota)
    if account.may_send_as:
        row["may_send_as"] = list(map(shown, account.may_send_as))
    if account.forward:
        row["forward"] = list(map(str, account.forward))
        if not account.keeps_copy:
            row["keeps_copy"] = False
    return row


def _route(route: Route) -> dict[str, Any]:
    row: dict[str, Any] = {}
    defaults = RouteSettings("")
    for name in ROUTE_FIELDS:
        value = getattr(route.settings, name)
        if value != getattr(defaults, name) or name == "tls":
            row[name] = value.value if isinstance(value, Enum) else value
    return row


def as_toml(directory: Directory) -> str:
    """Return the TOML form of a directory."""
    document = as_document(directory)
    lines = [_HEADING]
    for kind in KINDS:
        for row in document[kind]:
            lines.append(f"[[{kind}]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in row.items()))
            if "username" in row:
                lines[-1] += _NOT_EXPORTED
    return "\n".join(lines)


def as_json(directory: Directory) -> str:
    """Return the JSON form of a directory."""
    return json.dumps(as_document(directory), indent=2, ensure_ascii=False) + "\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list():
            return f"[{', '.join(_texts(value))}]"
        case _:
            return toml_string(str(value))


def _texts(values: Sequence[str]) -> Iterator[str]:
    return map(toml_string, values)
