"""Look at settings together: what contradicts itself, and what is allowed but seldom meant."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from emailsys.config.settings import (
    AddressOrder,
    OutboundSettings,
    OutboundTimeouts,
    QueueSettings,
    RouteSettings,
    RoutingSettings,
)
from emailsys.config.values import described, shown_duration
from emailsys.mail.next_hop import TLSPolicy

# RFC 5321 §4.5.4.1: the give-up time generally needs to be at least 4 to 5 days.
_LEAST_PATIENCE: Final = 4 * 86400.0
# RFC 8314 §3.3: the port on which TLS begins with the first octet.
_SUBMISSIONS: Final = 465
# A network of more addresses than that is nobody's own: 2 to the power of the bits that are free.
_LARGEST_NETWORK: Final = {4: 24, 6: 96}


class Contradiction(NamedTuple):
    """Settings that cannot hold together: the key path that is named, what it has, and what the others allow."""

    key: str
    found: str
    allowed: str


def contradictions(queue: QueueSettings, routing: RoutingSettings) -> Iterator[Contradiction]:
    """What no daemon could do."""
    for key, least_key in (("max_retry", "first_retry"), ("max_pause", "first_pause")):
        value, least = getattr(queue, key), getattr(queue, least_key)
        if value < least:
            yield Contradiction(
                f"queue.{key}", shown_duration(value), f"a duration from queue.{least_key} ({shown_duration(least)}) on"
            )
    seen: dict[tuple[str, str], int] = {}
    for number, route in enumerate(routing.routes, start=1):
        here = f"routing.routes[{number}]"
        first = seen.setdefault((route.recipient_domain, route.sender_domain), number)
        if first != number:
            allowed = "one route for a pair of recipient_domain and sender_domain"
            yield Contradiction(here, f"the same domains as routing.routes[{first}]", allowed)
        if route.implicit_tls and route.tls is TLSPolicy.NONE:
            yield Contradiction(f"{here}.tls", described(route.tls.value), "another policy where implicit_tls is true")
        if route.password_file is not None and not route.username:
            yield Contradiction(f"{here}.password_file", described(str(route.password_file)), "it with a username")


def oddities(queue: QueueSettings, routing: RoutingSettings, outbound: OutboundSettings) -> Iterator[str]:
    """What works, but is seldom meant; each begins with its key path."""
    yield from _of_the_queue(queue)
    yield from _of_routing(routing)
    yield from _of_other_hosts(outbound)


def _of_the_queue(queue: QueueSettings) -> Iterator[str]:
    end, warning, first = map(shown_duration, (queue.give_up_after, queue.warn_after, queue.first_retry))
    if queue.warn_after >= queue.give_up_after:
        yield f"queue.warn_after: {warning} is not before give_up_after, {end}: nobody is told of a delay"
    if queue.give_up_after < _LEAST_PATIENCE:
        yield f"queue.give_up_after: {end}; RFC 5321 asks for 4 to 5 days, as hosts may be down over a weekend"
    if queue.first_retry >= queue.give_up_after:
        yield f"queue.first_retry: {first} is not before give_up_after, {end}: few attempts are made"
    if queue.retry_growth == 1 and queue.first_retry < queue.max_retry:
        yield "queue.retry_growth: 1; the intervals do not grow, and max_retry is never reached"
    most = queue.max_deliveries
    if queue.max_per_next_hop > most:
        yield f"queue.max_per_next_hop: {queue.max_per_next_hop} is above max_deliveries, {most}, which bounds it"


def _of_routing(routing: RoutingSettings) -> Iterator[str]:
    for network in map(ipaddress.ip_network, routing.trusted_networks):
        if network.max_prefixlen - network.prefixlen > _LARGEST_NETWORK[network.version]:
            yield f"routing.trusted_networks: {network}; all of its hosts may send to anybody without a login"
    for number, route in enumerate(routing.routes, start=1):
        yield from odd_route(f"routing.routes[{number}]", route)


def odd_route(here: str, route: RouteSettings) -> Iterator[str]:
    """The same of one route, of the configuration or of the store.

    @param here: the route in words, with which each line begins.
    """
    if route.username and route.tls in (TLSPolicy.NONE, TLSPolicy.OPPORTUNISTIC) and not route.implicit_tls:
        yield f"{here}.tls: {described(route.tls.value)}; the password may go over the network in the clear"
    if route.certificate_name and route.tls is not TLSPolicy.VERIFIED:
        yield f"{here}.certificate_name: it is looked at only with tls = {described(TLSPolicy.VERIFIED.value)}"
    if route.port == _SUBMISSIONS and not route.implicit_tls:
        yield f"{here}.implicit_tls: false; hosts await TLS from the first octet on port {_SUBMISSIONS}"
    if route.password_file is not None and _is_open(route.password_file):
        yield f"{here}.password_file: {described(str(route.password_file))} can be read by others; chmod 600"


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _of_other_hosts(outbound: OutboundSettings) -> Iterator[str]:
    for key, only in (("source_ipv4", AddressOrder.IPV6_ONLY), ("source_ipv6", AddressOrder.IPV4_ONLY)):
        if getattr(outbound, key) and outbound.address_order is only:
            yield f"outbound.{key}: never used with address_order = {described(only.value)}"
    asked = OutboundTimeouts()
    short = [
        f"{name} ({shown_duration(getattr(outbound.timeouts, name))})"
        for name in ("greeting", "command", "data", "block", "final")
        if getattr(outbound.timeouts, name) < getattr(asked, name)
    ]
    if short:
        yield f"outbound.timeouts: RFC 5321 asks for more in {', '.join(short)}; less makes duplicates and delays"
