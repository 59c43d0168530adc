"""Check of routes by DNS for `config check` and `route set`: the addresses that the daemon would connect to now."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emailsys.config.settings import RouteSettings, Settings
    from emailsys.mail.next_hop import Host, NextHop
    from emailsys.mail.reply import Reply

# Seconds. A person waits for the answer, so a name server gets less time than the daemon gives it.
_PATIENCE: Final = 5.0


def find_hosts(settings: Settings, next_hops: Sequence[NextHop]) -> list[Sequence[Host] | Reply]:
    """Return the hosts of each next hop, or why there are none, as the daemon would find them with these settings."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.selectreactor import SelectReactor
    from twisted.python.failure import Failure

    from emailsys.net.dns.name_servers import NameServers, system_name_servers
    from emailsys.net.dns.own_host import OwnHost
    from emailsys.net.dns.resolver import Resolver
    from emailsys.supervisor import expand

    # A reactor of its own: the process may be one that already runs another, or must not install one.
    reactor = SelectReactor()
    outbound = settings.outbound
    timeouts = replace(outbound.timeouts, dns=min(outbound.timeouts.dns, _PATIENCE))
    name_servers = NameServers(reactor, outbound.nameservers or system_name_servers())
    own_host = OwnHost([settings.hostname], expand(settings.smtp_listen.addresses, True), outbound.own_addresses)
    resolver = Resolver(reactor, name_servers, replace(outbound, timeouts=timeouts), own_host, random.shuffle)
    results: list[Any] = []

    def look_up() -> None:
        lookups = [Deferred.fromCoroutine(resolver.hosts(next_hop)) for next_hop in next_hops]
        _ = gatherResults(lookups, consumeErrors=True).addBoth(results.append).addBoth(lambda none: reactor.stop())

    reactor.callWhenRunning(look_up)
    reactor.run(installSignalHandlers=False)
    name_servers.close()
    if isinstance(results[0], Failure):
        results[0].raiseException()
    found: list[Sequence[Host] | Reply] = results[0]
    return found


def check_routes(settings: Settings, routes: Sequence[tuple[str, RouteSettings]]) -> tuple[list[str], list[str]]:
    """Look up the hosts of routes. Return a line for each route whose host was found, and a warning for each other.

    While outbound mail is switched off, no host is looked up, and the only warning says so.

    @param routes: the routes, each with the words that its line begins with.
    """
    from emailsys.mail.pipe import is_pipe
    from emailsys.mail.reply import Reply
    from emailsys.mail.webhook import is_webhook
    from emailsys.policy.next_hop import host_route

    if not routes:
        return [], []
    if not settings.outbound.enabled:
        return [], ["outbound.enabled: false; no route is used, and mail to other systems waits"]
    lines: list[str] = []
    warnings = [f"{here}.host: mail waits: {why}" for here, route in routes for why in _of_command(route)]
    # The daemon finds the host of a webhook as browsers do.
    routes = [(here, route) for here, route in routes if not (is_webhook(route.host) or is_pipe(route.host))]
    hops = [replace(host_route(route).next_hop, by_route=True) for _, route in routes]
    for (here, _), hop, found in zip(routes, hops, find_hosts(settings, hops), strict=True):
        if hop.is_socket:
            if not Path(hop.name).is_socket():
                warnings.append(f"{here}.host: mail waits: {hop.name} is no socket now")
        elif isinstance(found, Reply):
            warnings.append(f"{here}.host: mail waits: {found.code} {found.enhanced} {found.text}")
        else:
            lines.append(f"{here}.host: {hop.name} is {', '.join(host.address for host in found)}")
    return lines, warnings


def _of_command(route: RouteSettings) -> Iterator[str]:
    """Yield why the command of a route cannot be run."""
    from emailsys.policy.next_hop import host_route

    pipe = host_route(route).next_hop.pipe
    if pipe is not None and not (Path(pipe.program).is_file() and os.access(pipe.program, os.X_OK)):
        yield f"{pipe.program} is no program that can be run"
