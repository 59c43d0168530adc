"""Lookup of the MX records of a domain for `emailsys probe`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class NoAnswer(Exception):
    """The MX records could not be looked up, or say that there are no hosts. The message says why."""


def mail_hosts(domain: str, name_servers: Sequence[tuple[str, int]], seconds: float) -> list[str]:
    """Returns the hosts that take mail for a domain, the preferred one first; [] if the domain has no MX record.

    @param name_servers: addresses and ports; () for those of the system.
    @raise NoAnswer: no name server answered in time, or the domain accepts no mail.
    """
    from twisted.internet.defer import Deferred
    from twisted.internet.selectreactor import SelectReactor
    from twisted.names import dns
    from twisted.python.failure import Failure

    from emailsys.mail.reply import Reply
    from emailsys.net.dns.name_servers import NameServers, system_name_servers

    # A reactor of its own, as in `cli.next_hop_check`.
    reactor = SelectReactor()
    servers = NameServers(reactor, name_servers or system_name_servers())
    results: list[Any] = []

    def look_up() -> None:
        asked = servers.look_up(domain, dns.MX, reactor.seconds() + seconds)
        _ = Deferred.fromCoroutine(asked).addBoth(results.append).addBoth(lambda none: reactor.stop())

    reactor.callWhenRunning(look_up)
    reactor.run(installSignalHandlers=False)
    servers.close()
    [found] = results or [None]
    if isinstance(found, Failure):
        found.raiseException()
    if found is None or isinstance(found, Reply):
        raise NoAnswer(found.text if isinstance(found, Reply) else f"the lookup of {domain} was interrupted")
    records = sorted(found.records, key=lambda record: record.preference)
    names = [record.name.name.decode("ascii", "replace").rstrip(".").lower() for record in records]
    # RFC 7505: a single MX record with the name "." says so.
    if names == [""]:
        raise NoAnswer(f"{domain} accepts no mail: its MX record names no host (RFC 7505)")
    return list(filter(None, names))
