"""Senders whose mail to other systems has limits, and these limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from emailsys.config.settings import SendingSettings
from emailsys.mail.address import Address
from emailsys.mail.envelope import Client, Envelope, RemoteRoute

#: The hours of a day.
DAY_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender that is counted: an account, a trusted network, or an alias or account that forwards.

    `name` is its text in messages, `key` that of its counts. What an account forwards is not counted with what it
    sends: otherwise a stranger could use up its limit. `owner` is the address of an account that sends, None for
    others. `domain` is the one whose postmaster is told, "" for the default domain.
    """

    name: str
    key: str
    owner: Address | None = None
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `hours` is 1 or 24."""

    most: int
    hours: int
    of_recipients: bool

    def __str__(self) -> str:
        what = "recipients" if self.of_recipients else "messages"
        return f"{self.most} {what} {'an hour' if self.hours == 1 else 'a day'}"


class Rules:
    """The limits that hold for all senders, and the senders that have none."""

    def __init__(self, settings: SendingSettings, network_of: Callable[[str], str | None]) -> None:
        """@param network_of: returns the trusted network of an IP address, or None."""
        self.network_of = network_of
        self.unlimited = frozenset(settings.unlimited)
        limits = (
            Limit(settings.messages_per_hour, 1, of_recipients=False),
            Limit(settings.recipients_per_hour, 1, of_recipients=True),
            Limit(settings.messages_per_day, DAY_HOURS, of_recipients=False),
            Limit(settings.recipients_per_day, DAY_HOURS, of_recipients=True),
        )
        self.limits = tuple(limit for limit in limits if limit.most)

    def sender_of(self, client: Client) -> Sender | None:
        """Return the sender that a client is. None if it has no limits."""
        if client.account is not None:
            sender = _account(client.account)
        else:
            network = self.network_of(client.ip)
            if network is None:
                return None
            sender = Sender(network, network)
        return None if sender.key in self.unlimited else sender

    def forwarding(self, alias: Address) -> Sender | None:
        """Return the sender that an alias is, or an account that forwards. None if it has no limits."""
        name = "@".join(alias.key)
        if name in self.unlimited:
            return None
        return Sender(f"the forward of {name}", f"forward of {name}", domain=alias.domain)

    def charged(self, envelope: Envelope) -> list[tuple[Sender, int]]:
        """Return the senders whose limits a message counts against, each with its number of recipients."""
        if not self.limits or envelope.client is None:
            return []
        remote, aliases = remote_recipients(envelope)
        sender = self.sender_of(envelope.client) if remote else None
        charged = [] if sender is None else [(sender, remote)]
        for alias, count in aliases.items():
            forward = self.forwarding(alias)
            if forward is not None:
                charged.append((forward, count))
        return charged


@lru_cache(maxsize=1024)
def _account(address: Address) -> Sender:
    name = "@".join(address.key)
    return Sender(name, name, address, address.domain)


def remote_recipients(envelope: Envelope) -> tuple[int, dict[Address, int]]:
    """Return the number of remote addresses, in all and by alias."""
    if len(envelope.recipients) == 1 and len(envelope.recipients[0].routes) == 1:
        [route] = envelope.recipients[0].routes
        alias = route.alias if isinstance(route, RemoteRoute) else None
        return int(isinstance(route, RemoteRoute)), {} if alias is None else {alias: 1}
    aliases: dict[Address, set[Address]] = {}
    every: set[Address] = set()
    for route in _remote_routes(envelope):
        every.add(route.forward_path)
        if route.alias is not None:
            aliases.setdefault(route.alias, set()).add(route.forward_path)
    return len(every), {alias: len(paths) for alias, paths in aliases.items()}


def _remote_routes(envelope: Envelope) -> Iterator[RemoteRoute]:
    for recipient in envelope.recipients:
        for route in recipient.routes:
            if isinstance(route, RemoteRoute):
                yield route
