"""Trial connection to a submission server, and search for the first working server of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, AccountError, Auth, Server
from emailsys.client.fetch.connect import Unreachable
from emailsys.client.fetch.login import CERTIFICATE_ADVICE, LOGIN_ADVICE
from emailsys.client.fetch.pop3 import CONNECT_TIMEOUT
from emailsys.client.send.submission import hosts_of, next_hop_of, tls_for
from emailsys.client.trial.pop3 import probe_pop3
from emailsys.client.trial.result import TrialResult, shown_fingerprint
from emailsys.config.settings import OutboundSettings, OutboundTimeouts
from emailsys.mail.next_hop import Host
from emailsys.mail.transmission import Outcome
from emailsys.net.base.failures import why
from emailsys.net.outbound.connection import SMTPClient
from emailsys.net.outbound.host_pool import client_of
from emailsys.net.outbound.pending import PendingTransmission

if TYPE_CHECKING:
    from emailsys.interfaces.wiretap import IWiretap


class _Probe(Factory):
    """The owner of an outbound connection that sends no mail."""

    noisy = False

    def __init__(
        self, reactor: Any, server: Server, secret: str | None, host: Host, verify: bool, wiretap: IWiretap | None
    ) -> None:
        #: Part of net.outbound.owner.Owner, which this class implements.
        self.clear = False
        self._reactor = reactor
        self.tap = wiretap.begin("smtp", True) if wiretap is not None else None
        self.client = client_of(self.tap)(
            self,
            reactor,
            OutboundSettings(timeouts=OutboundTimeouts(greeting=60.0)),
            "localhost",
            next_hop_of(server, secret),
            host,
            lambda expected: tls_for(server, verify=verify),
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
        self.fingerprint = shown_fingerprint(transport.getPeerCertificate()) if client.tls else ""
        self.offers = client.offers

    def next_transmission(self, client: SMTPClient, ahead: bool) -> PendingTransmission | None:
        return None

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        self._reactor.callLater(0, client.retire)

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        self.outcome = outcome

    def give_back(self, pending: PendingTransmission) -> None:
        """Never called: there are no transmissions."""

    def gone(self, client: SMTPClient) -> None:
        """The server closes the session."""

    def closed(self, client: SMTPClient) -> None:
        if not self.done.called:
            self.done.callback(None)


async def probe_smtp(reactor: Any, server: Server) -> TrialResult:
    """Connect to a submission server and query its extensions, without a login."""
    return await _probe(reactor, server, None)


async def try_smtp(reactor: Any, account: Account, secrets: Secrets, wiretap: IWiretap | None = None) -> TrialResult:
    """Log in to the account's submission server. Nothing is sent.

    @param wiretap: records the connections; None records none.
    @raise AccountError: the account has no submission server.
    """
    server = account.smtp
    if server is None:
        raise AccountError(f"the account {account.name} has no submission server")
    if server.auth is Auth.NONE:
        return await _probe(reactor, server, None, wiretap)
    try:
        secret = await secrets.get(account, server)
    except AccountError as error:
        return TrialResult(server, "smtp", str(error))
    result = await _probe(reactor, server, secret, wiretap)
    if result.advice == LOGIN_ADVICE:
        secrets.refused(server)
    return result


async def _probe(reactor: Any, server: Server, secret: str | None, wiretap: IWiretap | None = None) -> TrialResult:
    result = TrialResult(server, "smtp")
    try:
        host = (await hosts_of(reactor, server))[0]
    except Unreachable as error:
        return replace(result, problem=str(error))
    probe = await _connected(reactor, server, secret, host, wiretap, verify=True)
    if isinstance(probe, str):
        return replace(result, problem=probe)
    outcome = probe.outcome
    if outcome is None:
        return replace(
            result,
            tls=probe.tls,
            fingerprint=probe.fingerprint,
            offers=probe.offers,
            logged_in=secret is not None,
        )
    reply = outcome.reply
    said = f"{reply.code} {reply.enhanced} {reply.text}" if outcome.from_remote else reply.text
    result = replace(result, problem=f"{server}: {said}", tls=outcome.tls)
    if reply.enhanced == "4.7.5" and "certificate" in reply.text:
        shown = await _connected(reactor, server, None, host, wiretap, verify=False)
        return replace(
            result, advice=CERTIFICATE_ADVICE, fingerprint="" if isinstance(shown, str) else shown.fingerprint
        )
    if outcome.from_remote and reply.code in (534, 535):
        return replace(result, advice=LOGIN_ADVICE)
    return result


async def _connected(
    reactor: Any, server: Server, secret: str | None, host: Host, wiretap: IWiretap | None, *, verify: bool
) -> _Probe | str:
    """Run a probe to its end. Return it, or the reason why the connection failed."""
    probe = _Probe(reactor, server, secret, host, verify, wiretap)
    try:
        await HostnameEndpoint(reactor, server.host, server.port, CONNECT_TIMEOUT).connect(probe)
    except Exception:
        reason: Any = Failure()  # type: ignore[no-untyped-call]
        problem = f"no connection to {server}: {why(reason)}"
        if probe.tap is not None:
            probe.tap.closed(problem)
        return problem
    await probe.done
    return probe


async def first_working_server(reactor: Any, protocol: str, servers: Sequence[Server]) -> list[TrialResult]:
    """Probe servers in order until one works. Its result is the last in the list.

    @param protocol: pop3 or smtp.
    """
    results: list[TrialResult] = []
    for server in servers:
        look = probe_pop3 if protocol == "pop3" else probe_smtp
        results.append(await look(reactor, server))
        if results[-1].problem is None:
            break
    return results
