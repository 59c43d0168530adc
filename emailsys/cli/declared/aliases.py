"""Aliases that a file declares: those of postmasters too, each after the aliases that it leads to."""

from __future__ import annotations

from collections.abc import Iterable

from emailsys.cli.declared.directory import Alias, Directory
from emailsys.mail.address import ROLES, Address, domain_key


def wanted_targets(store: Directory, file: Directory) -> list[Alias]:
    """Return the aliases that the file wants, without those that adding a domain makes."""
    named = {each.name.key for each in file.aliases}
    accounts = {each.address.key for each in (*store.accounts, *file.accounts)}
    known = {domain_key(each.name) for each in store.domains}
    wanted: list[Alias] = []
    for alias in file.aliases:
        domain = next((each for each in file.domains if domain_key(each.name) == alias.name.key[1]), None)
        is_made = (
            domain is not None
            and domain.postmaster is not None
            and alias.name.key[1] not in known
            and alias.name.key[0] in ROLES
            and [each.key for each in alias.targets] == [domain.postmaster.key]
        )
        if not is_made:
            wanted.append(alias)
    for domain in file.domains:
        name = Address(ROLES[0], domain.name)
        is_other = domain.postmaster is not None and domain.postmaster.key != name.key
        if domain_key(domain.name) in known and is_other and name.key not in named and name.key not in accounts:
            assert domain.postmaster is not None
            wanted.append(Alias(name, (domain.postmaster,)))
    return wanted


def in_order(aliases: Iterable[Alias]) -> list[Alias]:
    """Return aliases so that each comes after those among its targets; in a circle, as they are."""
    left = {each.name.key: each for each in aliases}
    done: list[Alias] = []
    while left:
        ready = [each for each in left.values() if not any(target.key in left for target in each.targets)]
        for each in ready or list(left.values()):
            done.append(each)
            del left[each.name.key]
    return done
