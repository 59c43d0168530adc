"""Account setup: find the servers, get the password, test both servers, and only then save the account."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.amounts import octets_of
from emailsys.cli.mail.account_search import Consent, Search
from emailsys.cli.mail.account_trial import account_fields, trial_fields, trial_text
from emailsys.cli.mail.arguments import keep_of
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.discovery import Found
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.accounts.values import Account, SecretSource, Server
    from emailsys.client.trial.result import TrialResult


class AccountSetup:
    """One run of `account add`."""

    def __init__(
        self,
        session: Session,
        address: Address,
        *,
        force: bool,
        as_default: bool,
        as_json: bool,
        options: dict[str, Any],
    ) -> None:
        self._session = session
        self._address = address
        self._force = force
        self._as_default = as_default
        self._as_json = as_json
        self._options = options

    def run(self) -> int:
        """Add the account, and return the exit status."""
        from emailsys.client.accounts.secrets import Secrets
        from emailsys.client.base.threads import threads_of
        from emailsys.client.text.file_names import safe_name

        mailbox = self._session.mailbox
        if (name := self._options["name"] or str(self._address)) in mailbox.accounts_file.load():
            raise Refused(
                f"There is already an account {name}. Give this one another --name, "
                f"or remove the other one: emailsys mail account remove {name}"
            )
        if safe_name(name, max_octets=120) != name:
            # Its mail is kept in a folder of that name. Refused before anything is written.
            raise Refused(f"{name!r} cannot be the name of a folder on every system. Choose another --name.")
        source, secret = self._secret()
        # Options are checked before any server is contacted.
        base = self._account_from_options(source)
        ended: dict[str, Any] = {}

        async def work(reactor: Any) -> None:
            secrets = Secrets(threads_of(reactor))
            candidates, unproven = await self._candidates(reactor, source, base)
            consent = Consent(self._address, unproven)
            account = candidates[0]
            results: Sequence[TrialResult] = ()
            typed = secret
            if not self._options["no_network"]:
                asks = sys.stdin.isatty() and not self._options["password_stdin"]
                search = Search(reactor, secrets, consent, named=self._named(), typed=secret, asks=asks)
                account, results = await search.run(candidates)
                typed = search.typed
            if all(result.problem is None for result in results) or self._force:
                # The accounts file first: if it cannot be written, the keyring keeps no password of the account.
                mailbox.accounts_file.put(account, default=self._as_default)
                ended["added"] = True
                kept = await self._keep_secret(account, secrets, typed)
                if kept != account:
                    mailbox.accounts_file.put(kept, default=self._as_default)
                account = kept
            ended["account"], ended["results"] = account, results

        self._session.run(work)
        return self._report(ended["account"], ended["results"], "added" in ended)

    def _report(self, account: Account, results: Sequence[TrialResult], added: bool) -> int:
        for result in results:
            tell(trial_text(result))
        if added:
            self._session.mailbox.archive.add_account(account.name)
            fetch = f" To fetch its mail: emailsys mail fetch {account.name}" if account.pop3 else ""
            tell(f"Added the account {account.name}.{fetch}")
        else:
            tell("The account was not added. Correct the problem, or use --force to add it anyway.")
        if self._as_json:
            print_json({"added": added, "account": account_fields(account), "trials": list(map(trial_fields, results))})
        return Exit.OK if added else Exit.UNAVAILABLE

    def _secret(self) -> tuple[SecretSource, str | None]:
        """Return the source of the password, and the password itself if it was entered now."""
        from emailsys.client.accounts.values import SecretKind, SecretSource

        options = self._options
        if sum(bool(options[name]) for name in ("password_stdin", "password_command", "token_command", "ask")) > 1:
            raise Refused("Use only one of --password-stdin, --password-command, --token-command and --ask", Exit.USAGE)
        if command := options["password_command"] or options["token_command"]:
            try:
                return SecretSource(SecretKind.COMMAND, tuple(shlex.split(command))), None
            except ValueError as error:
                raise Refused(f"The command {command!r} cannot be parsed: {error}", Exit.USAGE) from None
        kind = SecretKind.PROMPT if options["ask"] else SecretKind.KEYRING
        if options["password_stdin"]:
            line = sys.stdin.buffer.readline().decode("utf-8-sig", "replace")
            return SecretSource(kind), line.rstrip("\r\n")
        if (options["no_network"] and options["ask"]) or options["pop3"] == options["smtp"] == "none":
            return SecretSource(kind), None
        if sys.stdin.isatty():
            return SecretSource(kind), click.prompt(f"Password for {self._address}", hide_input=True, err=True)
        raise Refused(
            "There is no terminal to ask for the password. "
            "Use --password-stdin, --password-command CMD, or --ask --no-network.",
            Exit.USAGE,
        )

    def _named(self) -> dict[str, bool]:
        """Return the protocols whose server was named without its kind of TLS, and whether with a port."""
        options = self._options
        return {
            name: ":" in options[name].rpartition("]")[2]
            for name in ("pop3", "smtp")
            if options[name] not in (None, "none") and not options[f"{name}_security"]
        }

    def _account_from_options(self, source: SecretSource) -> Account:
        """Return the account with the settings of the options. Servers that no option names are None."""
        from emailsys.client.accounts.toml_reader import openpgp_key
        from emailsys.client.accounts.values import Account, Encrypt
        from emailsys.config.values import Unfit

        options = self._options
        key = "".join((options["openpgp_key"] or "").split())
        try:
            key = openpgp_key(key) if key else ""
        except Unfit as error:
            raise Refused(f"--openpgp-key {key!r}: it must be {error}", Exit.USAGE) from None
        return Account(
            options["name"] or str(self._address),
            self._address,
            options["display_name"],
            self._server("pop3", source),
            self._server("smtp", source),
            keep_of(options["keep"]),
            octets_of(options["max_size"]) if options["max_size"] else None,
            aliases=tuple(options["aliases"]),
            sign=options["sign"],
            encrypt=Encrypt(options["encrypt"]),
            openpgp_key=key,
            signature=options["signature"].strip("\n"),
        )

    async def _candidates(
        self, reactor: Any, source: SecretSource, account: Account
    ) -> tuple[list[Account], frozenset[str]]:
        """Return accounts with all combinations of discovered servers, the most likely first; and unproven hosts."""
        from emailsys.client.accounts.discovery import Discovery
        from emailsys.client.accounts.values import Auth

        options = self._options
        pop3, smtp = account.pop3, account.smtp
        found: Sequence[Found] = ()
        wanted = [name for name, server in (("pop3", pop3), ("smtp", smtp)) if server is None]
        if any(options[name] != "none" for name in wanted):
            found = await Discovery(reactor, network=not options["no_network"]).discover(self._address)
            tell(f"Found the settings: {found[0].source}")
            if found[0].advice:
                tell(found[0].advice)
        candidates = []
        for one in found:
            for number in range(max(len(one.pop3), len(one.smtp))):
                candidates.append(
                    replace(
                        account,
                        pop3=pop3 or self._found("pop3", one.pop3, number, source),
                        smtp=smtp or self._found("smtp", one.smtp, number, source),
                    )
                )
        candidates = list(dict.fromkeys(candidates)) or [account]
        if options["token_command"]:
            candidates = [
                replace(
                    one,
                    pop3=one.pop3 and replace(one.pop3, auth=Auth.TOKEN),
                    smtp=one.smtp and replace(one.smtp, auth=Auth.TOKEN),
                )
                for one in candidates
            ]
        proven = {server.host for server in (pop3, smtp) if server is not None}
        proven |= {server.host for one in found if not one.unproven for server in (*one.pop3, *one.smtp)}
        return candidates, frozenset(host for one in found for host in one.unproven) - proven

    def _server(self, protocol: str, source: SecretSource) -> Server | None:
        """Return the server that --pop3 or --smtp names, or None."""
        from emailsys.client.accounts.values import (
            POP3_PORT,
            POP3S_PORT,
            SUBMISSION_PORT,
            SUBMISSIONS_PORT,
            Security,
            Server,
        )

        named: str | None = self._options[protocol]
        if named is None or named == "none":
            return None
        host, colon, digits = named.rpartition(":")
        if not colon or named.endswith("]"):
            host, digits = named, ""
        if digits and not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
            raise Refused(
                f"--{protocol} {named!r}: {digits!r} is not a port. Write a number from 1 to 65535.", Exit.USAGE
            )
        ports = (POP3S_PORT, POP3_PORT) if protocol == "pop3" else (SUBMISSIONS_PORT, SUBMISSION_PORT)
        chosen = self._options[f"{protocol}_security"]
        security = Security(chosen) if chosen else Security.TLS
        if not chosen and digits and (int(digits) % 1000 in (ports[1] % 1000, 525)):
            # Ports 587 and 110, and unprivileged ports such as 2587 and 2525, offer STARTTLS.
            security = Security.STARTTLS
        port = int(digits) if digits else ports[security is not Security.TLS]
        return self._with_login(Server(host.strip("[]"), port, security), source)

    def _found(self, protocol: str, servers: Sequence[Server], number: int, source: SecretSource) -> Server | None:
        if self._options[protocol] == "none" or not servers:
            return None
        return self._with_login(servers[min(number, len(servers) - 1)], source)

    def _with_login(self, server: Server | None, source: SecretSource) -> Server | None:
        if server is None:
            return None
        return replace(
            server,
            username=self._options["username"] or server.username or str(self._address),
            secret=source,
            ca_file=self._options["ca_file"].absolute() if self._options["ca_file"] else server.ca_file,
            fingerprint=(self._options["fingerprint"] or server.fingerprint).replace(":", "").lower(),
        )

    async def _keep_secret(self, account: Account, secrets: Secrets, secret: str | None) -> Account:
        """Save the password in the keyring. If there is no keyring, set the account to ask for it in each run."""
        from emailsys.client.accounts.values import AccountError, SecretKind, SecretSource
        from emailsys.client.display.problem_text import problem_text

        if secret is None or self._options["ask"]:
            return account
        try:
            for server in (account.pop3, account.smtp):
                if server is not None:
                    await secrets.keep(account, server, secret)
        except AccountError as error:
            advice = "each run will ask for the password. To avoid that, use --password-command CMD."
            tell(problem_text(str(error), advice))
            asked = SecretSource(SecretKind.PROMPT)
            return replace(
                account,
                pop3=account.pop3 and replace(account.pop3, secret=asked),
                smtp=account.smtp and replace(account.smtp, secret=asked),
            )
        return account
