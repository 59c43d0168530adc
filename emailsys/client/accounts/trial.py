"""Try an account's settings: connect, TLS, login; say at which step it failed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, AccountError, Auth, Server
from emailsys.client.connecting import Unreachable, connect_pop3, login_pop3, tls_for
from emailsys.client.fetch_values import FetchError
from emailsys.client.pop3_login import CERTIFICATE_ADVICE, LOGIN_ADVICE, refused_login
from emailsys.client.submission import hosts_of, next_hop_of
from emailsys.config.settings import OutboundSettings, OutboundTimeouts
from emailsys.mail.next_hop import Host
from emailsys.mail.transmission import Outcome
from emailsys.net.errand import Errand
from emailsys.net.loss import why
from emailsys.net.pop3_client import CONNECT_TIMEOUT, POP3Client, POP3Lost, POP3Refused
from emailsys.net.smtp_client import SMTPClient
from emailsys.net.tls_client import fingerprint_of
from emailsys.wire.pop3_client_commands import ArgumentError, stat


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How trying a server went. `problem` is None if all held, else says what failed and why; `advice` what to do.

    `fingerprint` is that of the certificate which the server showed, also where it was refused, so that it can be
    pinned; "" in the clear. `tls` is version and suite, `offers` what the server offers, `messages` how many the
    maildrop holds. `logged_in` tells whether a login was tried and held.
    """

    server: Server
    protocol: str
    problem: str | None = None
    advice: str = ""
    tls: str = ""
    fingerprint: str = ""
    offers: tuple[str, ...] = ()
    messages: int | None = None
    logged_in: bool = False


def _fingerprint(certificate: Any) -> str:
    return fingerprint_of(certificate) if certificate is not None else ""


# POP3


async def look_at_pop3(reactor: Any, server: Server) -> TrialResult:
    """Connect to a POP3 server and look what it offers, without a login."""
    result, client = await _reach_pop3(reactor, server)
    if client is not None:
        await _leave(client)
    return result


async def try_pop3(reactor: Any, account: Account, secrets: Secrets) -> TrialResult:
    """Log in at the account's POP3 server and look at the maildrop; nothing is fetched or deleted.

    @raise AccountError: the account has none.
    """
    server = account.pop3
    if server is None:
        raise AccountError(f"the account {account.name} has no POP3 server")
    result, client = await _reach_pop3(reactor, server)
    if client is None:
        return result
    try:
        await login_pop3(client, server, await secrets.get(account, server))
        said = await client.ask(stat())
        uids = await client.unique_ids()
    except POP3Refused as refused:
        error = refused_login(server, secrets, refused)
        if refused.command == "UIDL":
            error = FetchError(f"{server} has no UIDL, by which messages are told from those that were fetched")
        result = replace(result, problem=str(error), advice=error.advice)
    except (POP3Lost, AccountError, ArgumentError) as error:
        result = replace(result, problem=str(error))
    else:
        result = replace(result, messages=len(uids) if said.ok else None, logged_in=True, offers=_offers(client))
    finally:
        await _leave(client)
    return result


def _offers(client: POP3Client) -> tuple[str, ...]:
    return tuple(" ".join((keyword, *words)) for keyword, words in client.capabilities.offered.items())


async def _reach_pop3(reactor: Any, server: Server) -> tuple[TrialResult, POP3Client | None]:
    result = TrialResult(server, "pop3")
    try:
        client = await connect_pop3(reactor, server)
    except Unreachable as error:
        result = replace(result, problem=str(error))
        if error.certificate:
            shown = await _certificate_of_pop3(reactor, server)
            result = replace(result, fingerprint=shown, advice=CERTIFICATE_ADVICE)
        return result, None
    return (
        replace(result, tls=client.tls, fingerprint=_fingerprint(client.peer_certificate), offers=_offers(client)),
        client,
    )


async def _certificate_of_pop3(reactor: Any, server: Server) -> str:
    """The fingerprint of a certificate that was refused; nothing is said to that server but QUIT."""
    try:
        client = await connect_pop3(reactor, server, verify=False)
    except Unreachable:
        return ""
    shown = _fingerprint(client.peer_certificate)
    await _leave(client)
    return shown


async def _leave(client: POP3Client) -> None:
    try:
        await client.quit()
    except (POP3Lost, POP3Refused):
        client.abort()


# Submission


class _Visit(Factory):
    """Whom a connection works for that sends nothing."""

    noisy = False

    def __init__(self, reactor: Any, server: Server, secret: str | None, host: Host, verify: bool) -> None:
        #: What implements net.client_owner.Owner.
        self.clear = False
        self._reactor = reactor
        self.client = SMTPClient(
            self,
            reactor,
            OutboundSettings(timeouts=OutboundTimeouts(greeting=60.0)),
            "localhost",
            next_hop_of(server, secret),
            host,
            lambda name, wanted: tls_for(server, verify=verify),
        )
        self.outcome: Outcome | None = None
        self.tls = ""
        self.fingerprint = ""
        self.offers: tuple[str, ...] = ()
        self.done: Deferred[None] = Deferred(lambda _: self.client.retire())

    @override
    def buildProtocol(self, addr: object) -> SMTPClient:
        return self.client

    def usable(self, client: SMTPClient) -> None:
        self.tls = client.tls
        transport: Any = client.transport
        self.fingerprint = _fingerprint(transport.getPeerCertificate()) if client.tls else ""
        self.offers = client.offers

    def next_errand(self, client: SMTPClient, ahead: bool) -> Errand | None:
        return None

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        self._reactor.callLater(0, client.retire)

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        self.outcome = outcome

    def give_back(self, errand: Errand) -> None:
        """There is none."""

    def gone(self, client: SMTPClient) -> None:
        """It said goodbye."""

    def closed(self, client: SMTPClient) -> None:
        if not self.done.called:
            self.done.callback(None)


async def look_at_smtp(reactor: Any, server: Server) -> TrialResult:
    """Connect to a submission server and look what it offers, without a login."""
    return await _visit(reactor, server, None)


async def try_smtp(reactor: Any, account: Account, secrets: Secrets) -> TrialResult:
    """Log in at the account's submission server; nothing is sent.

    @raise AccountError: the account has none.
    """
    server = account.smtp
    if server is None:
        raise AccountError(f"the account {account.name} has no server to send through")
    if server.auth is Auth.NONE:
        return await _visit(reactor, server, None)
    try:
        secret = await secrets.get(account, server)
    except AccountError as error:
        return TrialResult(server, "smtp", str(error))
    result = await _visit(reactor, server, secret)
    if result.advice == LOGIN_ADVICE:
        secrets.refused(server)
    return result


async def _visit(reactor: Any, server: Server, secret: str | None) -> TrialResult:
    result = TrialResult(server, "smtp")
    try:
        host = (await hosts_of(reactor, server))[0]
    except Unreachable as error:
        return replace(result, problem=str(error))
    visit = await _connected(reactor, server, secret, host, verify=True)
    if isinstance(visit, str):
        return replace(result, problem=visit)
    outcome = visit.outcome
    if outcome is None:
        return replace(
            result,
            tls=visit.tls,
            fingerprint=visit.fingerprint,
            offers=visit.offers,
            logged_in=secret is not None,
        )
    reply = outcome.reply
    said = f"{reply.code} {reply.enhanced} {reply.text}" if outcome.from_remote else reply.text
    result = replace(result, problem=f"{server}: {said}", tls=outcome.tls)
    if reply.enhanced == "4.7.5" and "certificate" in reply.text:
        shown = await _connected(reactor, server, None, host, verify=False)
        return replace(
            result, advice=CERTIFICATE_ADVICE, fingerprint="" if isinstance(shown, str) else shown.fingerprint
        )
    if outcome.from_remote and reply.code in (534, 535):
        return replace(result, advice=LOGIN_ADVICE)
    return result


async def _connected(reactor: Any, server: Server, secret: str | None, host: Host, *, verify: bool) -> _Visit | str:
    """A visit to its end, or in words why there was none."""
    visit = _Visit(reactor, server, secret, host, verify)
    try:
        await HostnameEndpoint(reactor, server.host, server.port, CONNECT_TIMEOUT).connect(visit)
    except Exception:
        reason: Any = Failure()  # type: ignore[no-untyped-call]
        return f"no connection to {server}: {why(reason)}"
    await visit.done
    return visit


# Both


async def first_that_answers(reactor: Any, protocol: str, servers: Sequence[Server]) -> list[TrialResult]:
    """Look at one server after the other until one answers as it should; that one's result is the last.

    @param protocol: pop3 or smtp.
    """
    results: list[TrialResult] = []
    for server in servers:
        look = look_at_pop3 if protocol == "pop3" else look_at_smtp
        results.append(await look(reactor, server))
        if results[-1].problem is None:
            break
    return results
