"""Search for settings that work: tries servers with TLS and STARTTLS, and asks for a refused password again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.account_trial import trial_text, try_account
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.secret_prompt import ask_secret
from emailsys.cli.options import Refused
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.accounts.values import Account, Server
    from emailsys.client.trial.result import TrialResult

# How often a person may type the password. Servers lock out those that try more often.
_ATTEMPTS: Final = 3


class Consent:
    """The user's consent to send the password to hosts that anybody may have named (RFC 6186 §6)."""

    def __init__(self, address: Address, unproven: frozenset[str]) -> None:
        self._address = address
        self._unproven = unproven
        self._answers: dict[str, bool] = {}

    def is_given(self, account: Account) -> bool:
        """Whether the password may be sent to the servers of an account. Asks once for each host.

        @raise Refused: there is no terminal to ask.
        """
        servers = (("pop3", account.pop3), ("smtp", account.smtp))
        asked = {server.host for _, server in servers if server is not None and server.host in self._unproven}
        if asked - self._answers.keys() and not sys.stdin.isatty():
            named = " ".join(f"--{name} {server.host}:{server.port}" for name, server in servers if server)
            raise Refused(
                f"The DNS of {self._address.domain} names {' and '.join(sorted(asked))}, outside of that domain, and "
                "its answer is not authenticated. The password was not sent. If the host belongs to your provider, "
                f"name the servers: {named}"
            )
        for host in sorted(asked - self._answers.keys()):
            self._answers[host] = click.confirm(
                f"The DNS of {self._address.domain} names {host}, and its answer is not authenticated. "
                "Does this host belong to your provider? If not, it would get your password.",
                default=False,
                err=True,
            )
        return all(self._answers[host] for host in asked)


class Search:
    """The trials of one `account add`."""

    def __init__(
        self, reactor: Any, secrets: Secrets, consent: Consent, *, named: dict[str, bool], typed: str | None, asks: bool
    ) -> None:
        """
        @param named: the protocols whose server the user named without --pop3-security or --smtp-security, and
            whether with a port.
        @param typed: the password that was entered, or None.
        @param asks: whether the user can be asked for it again.
        """
        self._reactor = reactor
        self._secrets = secrets
        self._consent = consent
        self._named = named
        self._asks = asks and typed is not None
        #: The password that was entered last.
        self.typed = typed

    async def run(self, candidates: Sequence[Account]) -> tuple[Account, Sequence[TrialResult]]:
        """Return the first account that both servers accept, or else the nearest one, with its test results.

        Accounts with a server that the user did not agree to are left out.

        @raise Refused: the user agreed to none.
        """
        nearest: tuple[Account, Sequence[TrialResult]] | None = None
        for candidate in candidates:
            if not self._consent.is_given(candidate):
                continue
            account, results = await self._tried(candidate)
            if _work(results):
                return account, results
            if nearest is None or (_is_refused(results) and not _is_refused(nearest[1])):
                nearest = (account, results)
        if nearest is None:
            raise Refused("The password was not sent to any server. Name the servers: --pop3 HOST --smtp HOST")
        account, results = nearest
        for _ in range(1, _ATTEMPTS):
            if not self._asks or not _is_refused(results):
                break
            for result in results:
                if result.is_login_refused:
                    tell(trial_text(result))
            self.typed = await ask_secret(f"Password for {account.address}, once more: ")
            account, results = await self._tried(account)
        return account, results

    async def _tried(self, account: Account) -> tuple[Account, Sequence[TrialResult]]:
        """Test both servers. If one that the user named fails with TLS, test it with STARTTLS, and the reverse."""
        results = list(await self._try(account))
        if _is_refused(results):
            # After a refusal the second server was not tried: there was no password for it.
            return account, [result for result in results if result.problem is None or result.is_login_refused]
        for number, result in enumerate(results):
            other = self._other(account, result)
            if other is None:
                continue
            second = (await self._try(other))[0]
            server = result.server
            way = f"{second.server.security.value.upper()} at port {second.server.port}"
            if second.problem is None or second.is_login_refused:
                tell(f"{result.protocol} {server}: {server.security.value.upper()} fails there, and {way} works.")
                results[number] = second
                account = _with_server(account, result.protocol, second.server)
            else:
                results[number] = replace(result, advice=f"{way} was tried too: {second.problem}")
        return account, results

    async def _try(self, account: Account) -> Sequence[TrialResult]:
        for server in (account.pop3, account.smtp):
            if server is not None and self.typed is not None:
                self._secrets.remember(server, self.typed)
        return await try_account(self._reactor, account, self._secrets)

    def _other(self, account: Account, result: TrialResult) -> Account | None:
        """Return the account with only that server, and the other kind of TLS; None if that makes no sense."""
        from emailsys.client.accounts.values import (
            POP3_PORT,
            POP3S_PORT,
            SUBMISSION_PORT,
            SUBMISSIONS_PORT,
            Security,
        )

        # After TLS was set up, or with a certificate that is not trusted, the other way has the same problem.
        if result.problem is None or result.tls or result.fingerprint or result.protocol not in self._named:
            return None
        security = Security.STARTTLS if result.server.security is Security.TLS else Security.TLS
        ports = (POP3S_PORT, POP3_PORT) if result.protocol == "pop3" else (SUBMISSIONS_PORT, SUBMISSION_PORT)
        has_port = self._named[result.protocol]
        port = result.server.port if has_port else ports[security is Security.STARTTLS]
        server = replace(result.server, security=security, port=port)
        return _with_server(replace(account, pop3=None, smtp=None), result.protocol, server)


def _with_server(account: Account, protocol: str, server: Server) -> Account:
    return replace(account, pop3=server) if protocol == "pop3" else replace(account, smtp=server)


def _work(results: Sequence[TrialResult]) -> bool:
    return all(result.problem is None for result in results)


def _is_refused(results: Sequence[TrialResult]) -> bool:
    return any(result.is_login_refused for result in results)
