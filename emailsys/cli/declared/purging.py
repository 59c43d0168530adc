"""Removal of accounts with their mail: after everything that may be refused, because it cannot be undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from emailsys.cli.declared.difference import Difference
from emailsys.cli.declared.directory import Directory, shown
from emailsys.control.requests import AliasRemove, AliasSet, DomainAdd, DomainRemove, Request, UserAdd, UserRemove
from emailsys.mail.address import ROLES, Address, domain_key

Key = tuple[str, str]


def purges_last(steps: Sequence[Request]) -> list[Request]:
    """Return the steps with the removal of accounts, and what needs a removed account's name, at the end."""
    early: list[Request] = []
    late: list[Request] = []
    keys: set[Key] = set()
    for step in steps:
        named = {address.key for address in _addresses(step)}
        if isinstance(step, UserRemove | DomainRemove) or named & keys:
            late.append(step)
            keys |= {step.address.key} if isinstance(step, UserRemove) else set()
            keys |= {step.name.key} if isinstance(step, AliasSet) else set()
        else:
            early.append(step)
    return early + late


def _addresses(step: Request) -> Iterator[Address]:
    for field in fields(step):
        value = getattr(step, field.name)
        yield from (each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, Address))


def why_refused(store: Directory, found: Iterable[Difference]) -> str | None:
    """Return why the removal of a domain or of an account will be refused, or None.

    The store would refuse it only after the mail of other accounts was deleted.
    """
    steps = [step for each in found for _, step in each.steps]
    domains = {domain_key(each.name) for each in store.domains}
    accounts = {each.address.key: each.address for each in store.accounts}
    targets: dict[Key, tuple[Address, ...]] = {each.name.key: each.targets for each in store.aliases}
    names: dict[Key, Address] = {each.name.key: each.name for each in store.aliases}
    gone: list[DomainRemove] = []
    for step in steps:
        match step:
            case DomainAdd(name=name, postmaster=postmaster):
                domains.add(domain_key(name))
                for role in (Address(role, name) for role in ROLES):
                    targets[role.key], names[role.key] = (postmaster,), role
            case DomainRemove(name=name):
                domains.discard(domain_key(name))
                gone.append(step)
            case UserAdd(address=address):
                accounts[address.key] = address
            case AliasSet(name=alias, targets=given):
                targets[alias.key], names[alias.key] = given, alias
    for step in steps:
        match step:
            case UserRemove(address=address):
                accounts.pop(address.key, None)
            case AliasRemove(name=alias, targets=None):
                targets.pop(alias.key, None)
    for step in gone:
        key = domain_key(step.name)
        left = next((address for each, address in accounts.items() if each[1] == key), None)
        if left is not None:
            return f"{step.name} has the account {left}, which the file does not remove"
    for alias_key, given in targets.items():
        if alias_key[1] not in domains:
            continue
        for target in given:
            lost = alias_key[0] == ROLES[0] and target.key not in accounts and target.key not in targets
            if target.key[1] not in domains and any(domain_key(each.name) == target.key[1] for each in gone):
                return f"{shown(names[alias_key])} has the target {target}, whose domain would be removed"
            if lost and target.key[1] in domains:
                return f"{target} is the postmaster of {alias_key[1]}"
    return None
