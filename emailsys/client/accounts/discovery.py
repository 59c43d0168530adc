"""Discovery of an account's servers: known providers, autoconfig, SRV records, then usual host names."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred

from emailsys.client.accounts.autoconfig import MAX_OCTETS, servers_of
from emailsys.client.accounts.toml_reader import PORTS
from emailsys.client.accounts.values import Auth, Security, Server
from emailsys.client.base.gather import gather_or_raise
from emailsys.client.base.https import get
from emailsys.mail.address import Address, domain_key, is_domain

#: Fetches a document by its URL; None if there is none.
Get = Callable[[str], Awaitable[bytes | None]]
#: Looks up the SRV records of a name: priority, weight, port, target.
LookUp = Callable[[str], Awaitable[Sequence[tuple[int, int, int, str]]]]

# Seconds for all SRV lookups.
_DNS_TIMEOUT: Final = 4.0
_GUESSES: Final = {"pop3": ("pop", "pop3", "mail"), "smtp": ("smtp", "mail")}
# RFC 6186 §3, RFC 8314 §5.1; implicit TLS first.
_SERVICES: Final = (
    ("_pop3s._tcp", "pop3", Security.TLS),
    ("_pop3._tcp", "pop3", Security.STARTTLS),
    ("_submissions._tcp", "smtp", Security.TLS),
    ("_submission._tcp", "smtp", Security.STARTTLS),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Settings for an address, most likely ones first.

    - `source` is a text about their origin.
    - `advice` says what the provider requires, such as an app password, or "".
    - `unproven` are hosts outside of the address's domain that an unauthenticated source named. Anybody may have named
      them, so no password may be sent there before the user agrees (RFC 6186 §6).
    """

    pop3: tuple[Server, ...]
    smtp: tuple[Server, ...]
    source: str
    advice: str = ""
    unproven: frozenset[str] = frozenset()


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Return provider names and tables by domain."""
    text = resources.files("emailsys.client.accounts").joinpath("providers.toml").read_text("utf-8")
    return {domain: (name, table) for name, table in tomllib.loads(text).items() for domain in table["domains"]}


def _provider(address: Address, domain: str) -> Found | None:
    name, table = _providers().get(domain, ("", {}))
    if not name:
        return None

    def servers(protocol: str) -> tuple[Server, ...]:
        given = table.get(protocol)
        if given is None:
            return ()
        security = Security(given.get("security", "tls"))
        auth = Auth(given.get("auth", "password"))
        return (Server(given["host"], PORTS[protocol, security], security, str(address), auth),)

    return Found(servers("pop3"), servers("smtp"), f"the list of known providers ({name})", table.get("advice", ""))


def _guess(address: Address, domain: str) -> Found:
    def servers(protocol: str, *securities: Security) -> tuple[Server, ...]:
        return tuple(
            Server(f"{label}.{domain}", PORTS[protocol, security], security, str(address))
            for security in securities
            for label in _GUESSES[protocol]
        )

    both = (Security.TLS, Security.STARTTLS)
    return Found(servers("pop3", *both), servers("smtp", *both), f"a guess: usual names of servers in {domain}")


class Discovery:
    """Queries all sources of settings. Each query may fail, and takes a few seconds at most."""

    def __init__(
        self, reactor: Any, *, network: bool = True, get: Get | None = None, look_up: LookUp | None = None
    ) -> None:
        """
        @param network: False uses only the provider file and guesses.
        @param get: None for HTTPS.
        @param look_up: None for the system's name servers.
        """
        self._reactor = reactor
        self._network = network
        self._get = get or self._by_https
        self._look_up = look_up or self._by_dns

    async def discover(self, address: Address) -> Sequence[Found]:
        """Return the settings of all sources, most trustworthy first. The last is always the guess."""
        domain = domain_key(address.domain)
        known = _provider(address, domain)
        if known is not None:
            return (known, _guess(address, domain))
        if not self._network or not is_domain(domain):
            return (_guess(address, domain),)
        by_document, by_service = await gather_or_raise(
            [
                Deferred.fromCoroutine(self._autoconfig(address, domain)),
                Deferred.fromCoroutine(self._services(address, domain)),
            ]
        )
        found = [one for one in (by_document, by_service) if one is not None]
        return (*found, _guess(address, domain))

    async def _autoconfig(self, address: Address, domain: str) -> Found | None:
        """Query autoconfig by HTTPS. With plain HTTP, an attacker could name the servers that get the password."""
        urls = (
            f"https://autoconfig.{domain}/mail/config-v1.1.xml?emailaddress={quote(str(address), safe='')}",
            f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
            f"https://autoconfig.thunderbird.net/v1.1/{domain}",
        )
        for url in urls:
            document = await self._get(url)
            if document is not None:
                pop3, smtp = servers_of(document, address)
                if pop3 or smtp:
                    return Found(pop3, smtp, f"autoconfig at {url.split('/')[2]}")
        return None

    async def _services(self, address: Address, domain: str) -> Found | None:
        found: dict[str, list[Server]] = {"pop3": [], "smtp": []}
        elsewhere: set[str] = set()
        answers = await gather_or_raise(
            [Deferred.fromCoroutine(_awaited(self._look_up(f"{name}.{domain}"))) for name, _, _ in _SERVICES]
        )
        for (_, protocol, security), records in zip(_SERVICES, answers, strict=True):
            for _priority, _weight, port, target in sorted(records, key=lambda record: (record[0], -record[1])):
                # RFC 6186 §3.4: the target "." means that the service does not exist.
                target = target.lower().rstrip(".")
                if is_domain(target) and 1 <= port <= 65535:
                    found[protocol].append(Server(target, port, security, str(address)))
                    if target != domain and not target.endswith(f".{domain}"):
                        elsewhere.add(target)
        if not (found["pop3"] or found["smtp"]):
            return None
        pop3, smtp = tuple(found["pop3"]), tuple(found["smtp"])
        return Found(pop3, smtp, f"the SRV records of {domain}", unproven=frozenset(elsewhere))

    async def _by_https(self, url: str) -> bytes | None:
        return await get(self._reactor, url, MAX_OCTETS)

    async def _by_dns(self, name: str) -> Sequence[tuple[int, int, int, str]]:
        from twisted.names import dns

        from emailsys.mail.reply import Reply
        from emailsys.net.dns.name_servers import NameServers, system_name_servers

        servers = NameServers(self._reactor, system_name_servers())
        try:
            answer = await servers.look_up(name, dns.SRV, self._reactor.seconds() + _DNS_TIMEOUT)
        finally:
            servers.close()
        if isinstance(answer, Reply):
            return ()
        return [
            (record.priority, record.weight, record.port, record.target.name.decode("ascii", "replace"))
            for record in answer.records
        ]


async def _awaited(waiting: Awaitable[Sequence[tuple[int, int, int, str]]]) -> Sequence[tuple[int, int, int, str]]:
    return await waiting


def with_login(found: Found, username: str, auth: Auth | None = None) -> Found:
    """Return the settings with another user name and login method."""

    def changed(servers: Sequence[Server]) -> tuple[Server, ...]:
        return tuple(replace(one, username=username, auth=auth or one.auth) for one in servers)

    return replace(found, pop3=changed(found.pop3), smtp=changed(found.smtp))
