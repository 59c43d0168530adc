"""The difference between a declared directory and the store, as requests in the order in which they can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import Any

from emailsys.cli.declared.aliases import in_order, wanted_targets
from emailsys.cli.declared.directory import DEFAULT, ROUTE_FIELDS, Account, Alias, Directory, Domain, Route, shown
from emailsys.cli.declared.writing import quota_text
from emailsys.config.settings import RouteSettings
from emailsys.control import requests
from emailsys.control.requests import Request
from emailsys.mail.address import ROLES, Address, domain_key

#: Returns what to store for the password of an account.
Credentials = Callable[[Account], Sequence[tuple[str, str]]]


class Stage(IntEnum):
    """The order of requests: what others need comes first, and what they use is removed last."""

    FREE = 0
    DOMAINS = 1
    ACCOUNTS = 2
    ALIASES = 3
    SETTINGS = 4
    REMOVE = 5


@dataclass(slots=True)
class Difference:
    """One object that differs: what is shown of it, and the requests that end the difference."""

    change: str
    kind: str
    name: str
    #: For each field that differs, its value in the store and in the file.
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    steps: list[tuple[Stage, Request]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the form of `--json`."""
        values = {name: {"store": old, "file": new} for name, (old, new) in self.fields.items()}
        return {"change": self.change, "kind": self.kind, "name": self.name, "fields": values}

    def lines(self) -> Iterator[str]:
        """Yield the lines for a person."""
        yield f"{self.change} {self.kind} {self.name}"
        for name, (old, new) in self.fields.items():
            before = "" if self.change == "add" else f"{_words(old)} -> "
            yield f"    {name}: {before}{_words(new)}"


def _words(value: Any) -> str:
    match value:
        case None | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)


def ordered(differences: Sequence[Difference]) -> list[Request]:
    """Return the requests of all differences in the order of their stages."""
    steps = [step for each in differences for step in each.steps]
    return [request for _, request in sorted(steps, key=lambda step: step[0])]


def differences(
    store: Directory, file: Directory, credentials: Credentials, passwords: Credentials | None, prune: bool
) -> list[Difference]:
    """Return the objects that differ between the store and a file.

    @param credentials: makes what is stored for an account that is added.
    @param passwords: the same for an account that exists; it returns what is stored already if that is the password.
        None: these passwords stay as they are.
    @param prune: whether objects and fields that the file does not name are removed.
    """
    found = list(_domains(store, file))
    known = {each.address.key: each for each in store.accounts}
    for account in file.accounts:
        wanted = _reset(account) if prune else account
        found += _account(known.get(account.address.key), wanted, credentials, passwords)
    found += _aliases(store, file)
    found += _routes(store, file)
    if prune:
        found += _unnamed(store, file)
    return found


def _domains(store: Directory, file: Directory) -> Iterator[Difference]:
    known = {domain_key(each.name): each for each in store.domains}
    added = {domain_key(each.name) for each in file.domains}
    # A postmaster in another new domain: that domain comes first.
    for domain in sorted(file.domains, key=lambda each: _postmaster_is_elsewhere(each, added)):
        before = known.get(domain_key(domain.name))
        if before is None:
            each = Difference("add", "domain", domain.name)
            if domain.postmaster is not None:
                each.steps.append((Stage.DOMAINS, requests.DomainAdd(domain.name, domain.postmaster)))
                each.fields["postmaster"] = None, str(domain.postmaster)
        else:
            each = Difference("change", "domain", domain.name)
        if domain.quota is not None and domain.quota != (before.quota if before else 0):
            each.fields["quota"] = quota_text(before.quota if before else 0), quota_text(domain.quota)
            each.steps.append((Stage.SETTINGS, requests.DomainQuota(domain.name, domain.quota or None)))
        if before is None or each.fields:
            yield each


def _postmaster_is_elsewhere(domain: Domain, added: set[str]) -> bool:
    key = None if domain.postmaster is None else domain_key(domain.postmaster.domain)
    return key in added and key != domain_key(domain.name)


def _reset(account: Account) -> Account:
    """Return an account without what the file does not name. A disabled account is never enabled that way."""
    return replace(
        account,
        quota=DEFAULT if account.quota is None else account.quota,
        may_send_as=account.may_send_as or (),
        forward=account.forward or (),
    )


def _account(
    before: Account | None, account: Account, credentials: Credentials, passwords: Credentials | None
) -> Iterator[Difference]:
    address = account.address
    if before is None:
        each = Difference("add", "account", str(address))
        each.steps.append((Stage.ACCOUNTS, requests.UserAdd(address, tuple(credentials(account)))))
        before = Account(address, (), None, True, DEFAULT, (), ())
    else:
        each = Difference("change", "account", str(address))
        if passwords is not None and (account.credentials or account.password_file):
            made = tuple(passwords(account))
            if dict(made) != dict(before.credentials):
                each.fields["password"] = "(as it is)", "(as declared)"
                each.steps.append((Stage.SETTINGS, requests.UserPassword(address, made)))
    each.steps += _settings(before, account, each.fields)
    if each.steps:
        yield each


def _settings(before: Account, account: Account, shown_fields: dict[str, Any]) -> Iterator[tuple[Stage, Request]]:
    """Yield requests for the fields of an account that differ, and note these fields."""
    address = account.address
    if account.enabled is not None and account.enabled != before.enabled:
        shown_fields["enabled"] = before.enabled, account.enabled
        yield Stage.SETTINGS, requests.UserEnabled(address, account.enabled)
    if account.quota is not None and account.quota != before.quota:
        shown_fields["quota"] = quota_text(before.quota), quota_text(account.quota)
        yield Stage.SETTINGS, requests.UserQuota(address, None if account.quota == DEFAULT else account.quota)
    if account.may_send_as is not None:
        old, new = _by_key(before.may_send_as or ()), _by_key(account.may_send_as)
        if old.keys() != new.keys():
            shown_fields["may_send_as"] = list(map(shown, old.values())), list(map(shown, new.values()))
        lost = tuple(sender for key, sender in old.items() if key not in new)
        gained = tuple(sender for key, sender in new.items() if key not in old)
        if lost:
            yield Stage.SETTINGS, requests.UserMaySendAs(address, lost, True)
        if gained:
            yield Stage.SETTINGS, requests.UserMaySendAs(address, gained)
    if account.forward is not None and _forward(account) != _forward(before):
        shown_fields["forward"] = _forward_words(before), _forward_words(account)
        yield Stage.SETTINGS, requests.UserForward(address, account.forward or None, account.keeps_copy)


def _by_key(senders: Sequence[Address]) -> dict[tuple[str, str], Address]:
    return {sender.key: sender for sender in senders}


def _forward(account: Account) -> tuple[Any, ...]:
    targets = account.forward or ()
    return ([target.key for target in targets], account.keeps_copy) if targets else ()


def _forward_words(account: Account) -> str:
    copy = "" if account.keeps_copy else " (no copy)"
    return ", ".join(map(str, account.forward)) + copy if account.forward else ""


def _aliases(store: Directory, file: Directory) -> Iterator[Difference]:
    known = {each.name.key: each for each in store.aliases}
    for alias in in_order(wanted_targets(store, file)):
        before = known.get(alias.name.key)
        if before is not None and [each.key for each in before.targets] == [each.key for each in alias.targets]:
            continue
        each = Difference("add" if before is None else "change", "alias", shown(alias.name))
        each.fields["targets"] = _texts(before), _texts(alias)
        each.steps.append((Stage.ALIASES, requests.AliasSet(alias.name, alias.targets)))
        yield each


def _texts(alias: Alias | None) -> list[str]:
    return [] if alias is None else list(map(str, alias.targets))


def _routes(store: Directory, file: Directory) -> Iterator[Difference]:
    known = {each.key: each for each in store.routes}
    for route in file.routes:
        before = known.get(route.key)
        each = Difference("add" if before is None else "change", "route", _route_name(route))
        old = RouteSettings("") if before is None else before.settings
        for name, value in _route_fields(route.settings).items():
            if _route_fields(old)[name] != value:
                each.fields[name] = _route_fields(old)[name], value
        if route.digest is not None and (before is None or before.digest != route.digest):
            each.fields["password"] = "(as it is)", "(as declared)"
        if each.fields:
            values = {key: getattr(route.settings, key) for key in ROUTE_FIELDS}
            request = requests.RouteSet(**values, password=route.settings.password)
            each.steps.append((Stage.SETTINGS, request))
            yield each


def _route_fields(settings: RouteSettings) -> dict[str, Any]:
    shown_values: dict[str, Any] = {}
    for name in ROUTE_FIELDS:
        value = getattr(settings, name)
        shown_values[name] = value.value if isinstance(value, Enum) else value
    return shown_values


def _route_name(route: Route) -> str:
    to, sender = route.settings.recipient_domain, route.settings.sender_domain
    words = [f"to {to}"] if to else []
    words += [f"from {sender}"] if sender else []
    return " ".join(words) or "for all mail"


def _unnamed(store: Directory, file: Directory) -> Iterator[Difference]:
    """Yield the removal of what the file does not name, of the kinds that it has."""
    domains = _kept(store, file)
    if "aliases" in file.kinds:
        names = {each.name.key for each in file.aliases}
        for alias in store.aliases:
            if alias.name.key not in names and alias.name.key[0] not in ROLES and alias.name.key[1] in domains:
                yield _removal("alias", shown(alias.name), Stage.FREE, requests.AliasRemove(alias.name))
    yield from _unnamed_accounts(store, file, domains)
    if "routes" in file.kinds:
        kept = {each.key for each in file.routes}
        for route in store.routes:
            if route.key not in kept:
                yield _removal("route", _route_name(route), Stage.SETTINGS, requests.RouteRemove(*route.key))


def _unnamed_accounts(store: Directory, file: Directory, kept: set[str]) -> Iterator[Difference]:
    """Yield the removal of accounts and domains, in the order in which no domain loses its postmaster.

    Domains with a postmaster elsewhere come first. Each domain comes after its accounts, its postmaster the last one.
    """
    keys = {each.address.key for each in file.accounts}
    freed = {each.name.key for each in file.aliases}
    postmasters = {domain_key(each.name): each.postmaster for each in store.domains}
    found: list[tuple[tuple[bool, bool, str, bool, bool], Difference]] = []

    def add(domain: str, is_domain: bool, is_postmaster: bool, removal: Difference) -> None:
        postmaster = postmasters.get(domain)
        is_own = postmaster is None or postmaster.key[1] == domain
        found.append(((domain in kept, is_own, domain, is_domain, is_postmaster), removal))

    if "accounts" in file.kinds:
        roles = {each.key for each in postmasters.values() if each is not None}
        for account in store.accounts:
            key = account.address.key
            if key not in keys:
                stage = Stage.FREE if key in freed else Stage.REMOVE
                request = requests.UserRemove(account.address, False)
                add(key[1], False, key in roles, _removal("account", str(account.address), stage, request))
    for domain in store.domains:
        if domain_key(domain.name) not in kept:
            removal = _removal("domain", domain.name, Stage.REMOVE, requests.DomainRemove(domain.name))
            if lost := _lost_aliases(store, domain):
                removal.fields["aliases"] = lost, []
            add(domain_key(domain.name), True, False, removal)
    yield from (removal for _, removal in sorted(found, key=lambda item: item[0]))


def _lost_aliases(store: Directory, domain: Domain) -> list[str]:
    """Return the aliases that go with a domain, except for those that it was made with."""
    own = None if domain.postmaster is None else [domain.postmaster.key]
    return [
        shown(each.name)
        for each in store.aliases
        if each.name.key[1] == domain_key(domain.name)
        and not (each.name.key[0] in ROLES and [target.key for target in each.targets] == own)
    ]


def _removal(kind: str, name: str, stage: Stage, request: Request) -> Difference:
    return Difference("remove", kind, name, {}, [(stage, request)])


def _kept(store: Directory, file: Directory) -> set[str]:
    named = file.domains if "domains" in file.kinds else store.domains
    return {domain_key(each.name) for each in named}
