"""Blocking secrets are requested one at a time, and prompts come before the fetch."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.blocking_secrets import CommandSecrets, run_to_completion
from emailsys.client.accounts.values import Account, AccountError, Auth, SecretKind, SecretSource, Security, Server
from emailsys.mail.address import parse


def account(name: str, kind: SecretKind, **of: Any) -> tuple[Account, Server]:
    server = Server("pop.test", 995, Security.TLS, f"{name}@example.test", secret=SecretSource(kind, **of))
    return Account(name, parse(f"{name}@example.test"), pop3=server), server


class BlockingSecretsTests(SynchronousTestCase):
    """A scripted user."""

    def setUp(self) -> None:
        self.asked: list[str] = []
        self.secrets = CommandSecrets(self.prompt)

    async def prompt(self, text: str) -> str:
        self.asked.append(text)
        return f"typed {len(self.asked)}"

    def test_a_command_and_the_file_are_read_where_they_are_asked(self) -> None:
        self.assertEqual(self.secrets.get(*account("a", SecretKind.COMMAND, command=("echo", "token"))), "token")
        self.assertEqual(self.secrets.get(*account("a", SecretKind.FILE, value="kept")), "kept")
        self.assertEqual(self.asked, [])

    def test_a_person_is_asked_ahead_and_once(self) -> None:
        alice = account("alice", SecretKind.PROMPT)
        self.secrets.prefetch(*alice)
        self.assertEqual(len(self.asked), 1)
        self.assertEqual([self.secrets.get(*alice), self.secrets.get(*alice)], ["typed 1", "typed 1"])
        self.assertEqual(len(self.asked), 1)

    def test_a_refused_secret_is_asked_for_again(self) -> None:
        owner, server = account("alice", SecretKind.PROMPT)
        self.secrets.get(owner, server)
        self.secrets.refused(server)
        self.assertEqual(self.secrets.get(owner, server), "typed 2")

    def test_a_failed_prefetch_is_reported_when_the_secret_is_used(self) -> None:
        nobody = CommandSecrets()
        alice = account("alice", SecretKind.PROMPT)
        nobody.prefetch(*alice)
        self.assertRaises(AccountError, nobody.get, *alice)

    def test_without_a_login_no_secret_is_asked_for(self) -> None:
        server = Server("pop.test", 995, Security.TLS, "a", Auth.NONE, SecretSource(SecretKind.PROMPT))
        self.assertEqual(self.secrets.get(Account("a", parse("a@example.test"), pop3=server), server), "")

    def test_a_coroutine_that_waits_is_an_error(self) -> None:
        async def waits() -> None:
            await Deferred()

        self.assertRaises(AssertionError, run_to_completion, waits())
