"""Trial connection to a POP3 server: connect, TLS, and login, with the reason of a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, AccountError, Server
from emailsys.client.base.threads import threads_of, until_cancelled
from emailsys.client.fetch.connect import Unreachable, connect_pop3, login_pop3
from emailsys.client.fetch.login import CERTIFICATE_ADVICE, refused_login
from emailsys.client.fetch.pop3 import POP3Client, POP3Lost, POP3Refused
from emailsys.client.fetch.stream import OpenStreams
from emailsys.client.fetch.values import FetchError
from emailsys.client.trial.result import TrialResult, shown_fingerprint
from emailsys.wire.pop3.client_commands import ArgumentError, stat

T = TypeVar("T")


class _Trial:
    """Trial of one server, in threads of a reactor."""

    def __init__(self, reactor: Any, server: Server, streams: OpenStreams | None = None) -> None:
        self._in_thread = threads_of(reactor)
        self._server = server
        self._streams = streams or OpenStreams()
        self._client: POP3Client | None = None
        self.result = TrialResult(server, "pop3")

    async def _wait_for(self, work: Callable[[], T]) -> T:
        return await until_cancelled(self._in_thread, work, self._streams.hang_up)

    async def reach(self) -> bool:
        """Connect. @return: whether a login can follow."""
        await self._wait_for(self._reach)
        return self._client is not None

    def _reach(self) -> None:
        try:
            client = connect_pop3(self._streams.new(), self._server)
        except Unreachable as error:
            self.result = replace(self.result, problem=str(error))
            if error.certificate:
                self.result = replace(self.result, fingerprint=self._rejected_fingerprint(), advice=CERTIFICATE_ADVICE)
            return
        self._client = client
        shown = shown_fingerprint(client.peer_certificate)
        self.result = replace(self.result, tls=client.tls, fingerprint=shown, offers=_offers(client))

    def _rejected_fingerprint(self) -> str:
        """Return the fingerprint of a rejected certificate. The connection sends only QUIT."""
        try:
            client = connect_pop3(self._streams.new(), self._server, verify=False)
        except Unreachable:
            return ""
        shown = shown_fingerprint(client.peer_certificate)
        _leave(client)
        return shown

    async def log_in(self, account: Account, secrets: Secrets) -> None:
        """Log in and count the messages."""
        try:
            secret = await secrets.get(account, self._server)
            await self._wait_for(lambda: self._log_in(secret, secrets))
        except (POP3Lost, AccountError, ArgumentError) as error:
            self.result = replace(self.result, problem=str(error))

    def _log_in(self, secret: str, secrets: Secrets) -> None:
        client = self._client
        assert client is not None
        try:
            login_pop3(client, self._server, secret)
            said = client.ask(stat())
            uids = client.unique_ids()
        except POP3Refused as refused:
            error = refused_login(self._server, refused, secrets.refused)
            if refused.command == "UIDL":
                error = FetchError(
                    f"{self._server} has no UIDL, by which messages are told from those that were fetched"
                )
            self.result = replace(self.result, problem=str(error), advice=error.advice)
            return
        messages = len(uids) if said.ok else None
        self.result = replace(self.result, messages=messages, logged_in=True, offers=_offers(client))

    async def leave(self) -> None:
        """Send QUIT and close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await self._wait_for(lambda: _leave(client))


def _offers(client: POP3Client) -> tuple[str, ...]:
    return tuple(" ".join((keyword, *words)) for keyword, words in client.capabilities.offered.items())


def _leave(client: POP3Client) -> None:
    try:
        client.quit()
    except (POP3Lost, POP3Refused):
        # The connection is closed in any case.
        return


async def probe_pop3(reactor: Any, server: Server) -> TrialResult:
    """Connect to a POP3 server and query its capabilities, without a login."""
    trial = _Trial(reactor, server)
    await trial.reach()
    await trial.leave()
    return trial.result


async def try_pop3(reactor: Any, account: Account, secrets: Secrets, streams: OpenStreams | None = None) -> TrialResult:
    """Log in to the account's POP3 server and count the messages. Nothing is fetched or deleted.

    @param streams: makes the connections.
    @raise AccountError: the account has no POP3 server.
    """
    server = account.pop3
    if server is None:
        raise AccountError(f"the account {account.name} has no POP3 server")
    trial = _Trial(reactor, server, streams)
    if await trial.reach():
        try:
            await trial.log_in(account, secrets)
        finally:
            await trial.leave()
    return trial.result
