"""Checks of settings against each other: contradictions, and combinations that are probably a mistake."""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final, NamedTuple

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.config.settings import (
    AddressOrder,
    OutboundSettings,
    OutboundTimeouts,
    QueueSettings,
    RouteSettings,
    RoutingSettings,
    SendingSettings,
    Settings,
)
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, described, shown_address, shown_duration
from emailsys.mail.next_hop import TLSPolicy, default_port, leads_to_socket
from emailsys.mail.pipe import is_pipe
from emailsys.mail.webhook import is_webhook

# RFC 5321 §4.5.4.1: the give-up time generally needs to be at least 4 to 5 days.
_MIN_GIVE_UP: Final = 4 * 86400.0
# RFC 8314 §3.3: the port on which TLS begins with the first octet.
_SUBMISSIONS: Final = 465
# What a route to a Unix socket may have.
_WITHOUT_A_NETWORK: Final = frozenset({TLSPolicy.NONE, TLSPolicy.OPPORTUNISTIC})
# What only a route to a program can have.
_OF_PROGRAMS: Final = {"secret_file": "a URL", "user": "pipe:", "time_limit": "pipe:"}
# The largest network that one organisation plausibly owns, as the number of host bits.
_LARGEST_NETWORK: Final = {4: 24, 6: 96}


class Contradiction(NamedTuple):
    """Settings that exclude each other: the key path, its value, and what the other settings allow."""

    key: str
    found: str
    allowed: str


def doubled_workers(workers: int, of_pop3: int) -> Iterator[Contradiction]:
    """Yield `pop3.workers` if `workers` is set as well: those processes serve POP3, too."""
    if workers and of_pop3:
        yield Contradiction("pop3.workers", str(of_pop3), f"0, because workers = {workers} serve POP3, too")


def contradictions(queue: QueueSettings, routing: RoutingSettings) -> Iterator[Contradiction]:
    """Yield the settings that exclude each other."""
    for key, least_key in (("max_retry", "first_retry"), ("max_pause", "first_pause")):
        value, least = getattr(queue, key), getattr(queue, least_key)
        if value < least:
            yield Contradiction(
                f"queue.{key}",
                shown_duration(value),
                f"a duration of at least queue.{least_key} ({shown_duration(least)})",
            )
    seen: dict[tuple[str, str], int] = {}
    for number, route in enumerate(routing.routes, start=1):
        here = f"routing.routes[{number}]"
        first = seen.setdefault((route.recipient_domain, route.sender_domain), number)
        if first != number:
            allowed = "one route for each pair of recipient_domain and sender_domain"
            yield Contradiction(here, f"the same domains as routing.routes[{first}]", allowed)
        if route.implicit_tls and route.tls is TLSPolicy.NONE:
            yield Contradiction(f"{here}.tls", described(route.tls.value), "another policy if implicit_tls is true")
        yield from _of_programs(here, route)
        if leads_to_socket(route.host) and (route.implicit_tls or route.tls not in _WITHOUT_A_NETWORK):
            yield Contradiction(f"{here}.host", described(route.host), "a host: a socket has neither TLS nor a login")
        if route.password_file is not None and not route.username:
            yield Contradiction(
                f"{here}.password_file",
                described(str(route.password_file)),
                "password_file only together with username",
            )


def _of_programs(here: str, route: RouteSettings) -> Iterator[Contradiction]:
    """Yield what a webhook or a command cannot have, and what only they can have."""
    what = ""
    allowed: tuple[str, ...] = ("recipient_domain", "sender_domain")
    if is_webhook(route.host):
        what, allowed = "a webhook", (*allowed, "secret_file")
    elif is_pipe(route.host):
        what, allowed = "a command", (*allowed, "user", "time_limit")
    plain = RouteSettings(route.host, default_port(route.host))
    for name in (field.name for field in fields(route)):
        found = getattr(route, name)
        if found == getattr(plain, name) or name in (*allowed, "password", "secret"):
            continue
        value = found.value if isinstance(found, TLSPolicy) else found if isinstance(found, int | float) else str(found)
        if what:
            yield Contradiction(f"{here}.{name}", described(value), f"host, {', '.join(allowed)}, for {what}")
        elif name in _OF_PROGRAMS:
            yield Contradiction(f"{here}.{name}", described(value), f"{name} only with {_OF_PROGRAMS[name]}")


def probable_mistakes(settings: Settings) -> Iterator[str]:
    """Yield warnings about settings that are probably a mistake; each begins with its key path."""
    yield from _of_the_queue(settings.queue)
    yield from _of_plaintext_auth(settings)
    yield from _of_routing(settings.routing)
    yield from _of_other_hosts(settings.outbound)
    yield from _of_sending(settings.sending)
    yield from _of_monitoring(settings.monitoring)


def _of_sending(sending: SendingSettings) -> Iterator[str]:
    for what in ("messages", "recipients"):
        hour, day = getattr(sending, f"{what}_per_hour"), getattr(sending, f"{what}_per_day")
        if 0 < day < hour:
            yield f"sending.{what}_per_hour: {hour} is above {what}_per_day, {day}, which limits it"


def _of_the_queue(queue: QueueSettings) -> Iterator[str]:
    end, warning, first = map(shown_duration, (queue.give_up_after, queue.warn_after, queue.first_retry))
    if queue.warn_after >= queue.give_up_after:
        yield f"queue.warn_after: {warning} is not less than give_up_after, {end}; senders get no warning of a delay"
    if queue.give_up_after < _MIN_GIVE_UP:
        yield f"queue.give_up_after: {end}; RFC 5321 recommends 4 to 5 days, because hosts may be down over a weekend"
    if queue.first_retry >= queue.give_up_after:
        yield f"queue.first_retry: {first} is not less than give_up_after, {end}; few attempts are made"
    if queue.retry_growth == 1 and queue.first_retry < queue.max_retry:
        yield "queue.retry_growth: 1; the intervals do not grow, so max_retry has no effect"
    most = queue.max_deliveries
    if queue.max_per_next_hop > most:
        yield f"queue.max_per_next_hop: {queue.max_per_next_hop} is above max_deliveries, {most}, which limits it"


def _of_plaintext_auth(settings: Settings) -> Iterator[str]:
    for table in ("smtp", "pop3"):
        for network in getattr(settings, table).plaintext_auth_networks:
            yield f"{table}.plaintext_auth_networks: {network}; passwords of its clients can be read on the way"
    if settings.smtp.trusted_may_submit:
        named = ", ".join(settings.routing.trusted_networks)
        why = f"{named}; all their hosts may submit mail without a login" if named else "no network is trusted"
        yield f"smtp.trusted_may_submit: {why}"


def _of_routing(routing: RoutingSettings) -> Iterator[str]:
    for network in map(ipaddress.ip_network, routing.trusted_networks):
        if network.max_prefixlen - network.prefixlen > _LARGEST_NETWORK[network.version]:
            yield f"routing.trusted_networks: {network}; all its hosts may send to any address without login"
    for number, route in enumerate(routing.routes, start=1):
        yield from odd_route(f"routing.routes[{number}]", route)


def odd_route(here: str, route: RouteSettings) -> Iterator[str]:
    """Yield warnings about one route, of the configuration or of the store.

    @param here: the description of the route with which each line begins.
    """
    verified = route.tls is TLSPolicy.VERIFIED
    if route.username and route.tls is TLSPolicy.NONE:
        yield f"{here}.tls: {described(route.tls.value)}; no password is sent without TLS, so mail waits"
    elif route.username and not verified and not route.certificate_fingerprint:
        yield (
            f"{here}.tls: {described(route.tls.value)}; a login implies {described(TLSPolicy.VERIFIED.value)}: a host "
            "without a valid certificate for its name gets neither password nor mail. If it has signed its certificate "
            "itself, pin that one: certificate_fingerprint"
        )
    elif route.certificate_fingerprint and route.tls is TLSPolicy.NONE:
        yield f"{here}.certificate_fingerprint: it has no effect with tls = {described(route.tls.value)}"
    if route.certificate_name and not verified and not route.username:
        yield f"{here}.certificate_name: it has no effect without tls = {described(TLSPolicy.VERIFIED.value)}"
    if route.port == _SUBMISSIONS and not route.implicit_tls:
        yield f"{here}.implicit_tls: false; hosts expect TLS from the first octet on port {_SUBMISSIONS}"
    if is_webhook(route.host) and not route.secret:
        yield f"{here}.secret_file: not set; the program cannot tell whether mail comes from this system"
    for name, file in (("password_file", route.password_file), ("secret_file", route.secret_file)):
        if file is not None and is_exposed(file):
            yield f"{here}.{name}: {described(str(file))} is readable by other users; chmod 600"


def is_exposed(secret: Path) -> bool:
    """Whether other users of this machine can read or change a file that holds a secret.

    Not on a file system that is mounted read-only: there, a secret with mode 0444 was mounted for this container alone.
    """
    try:
        if sys.platform != "win32" and os.statvfs(secret).f_flag & os.ST_RDONLY:
            return False
        return bool(secret.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def _of_other_hosts(outbound: OutboundSettings) -> Iterator[str]:
    for key, only in (("source_ipv4", AddressOrder.IPV6_ONLY), ("source_ipv6", AddressOrder.IPV4_ONLY)):
        if getattr(outbound, key) and outbound.address_order is only:
            yield f"outbound.{key}: has no effect with address_order = {described(only.value)}"
    asked = OutboundTimeouts()
    short = [
        f"{name} ({shown_duration(getattr(outbound.timeouts, name))})"
        for name in ("greeting", "command", "data", "block", "final")
        if getattr(outbound.timeouts, name) < getattr(asked, name)
    ]
    if short:
        yield f"outbound.timeouts: RFC 5321 requires more in {', '.join(short)}; less causes duplicates and delays"


def _of_monitoring(monitoring: MonitoringSettings) -> Iterator[str]:
    for host, port in monitoring.metrics_listen:
        if host == EVERY_ADDRESS or (host != LOOPBACK and _is_public(ipaddress.ip_address(host))):
            found = described(shown_address(host, port))
            yield (
                f"monitoring.metrics_listen: {found}; every host that reaches this machine can read the metrics, which "
                "need no password; listen on 127.0.0.1, or behind a proxy"
            )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_unspecified or address.is_global
