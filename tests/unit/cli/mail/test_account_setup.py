"""`account add` finds settings that work, asks again for a refused password, and asks before it trusts a host."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.mail import account_search
from emailsys.cli.mail.secret_prompt import ask_secret
from emailsys.cli.mail.session import Session, result_of
from emailsys.cli.mail.verbs.shell import execute
from emailsys.client.accounts.discovery import Discovery, Found
from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, Encrypt, Security, Server
from emailsys.client.fetch.login import LOGIN_ADVICE
from emailsys.client.trial.result import TrialResult
from emailsys.mail.address import Address
from tests.unit.cli.mail.mail_case import Case

OURS: Final = "mail.example.org"
THEIRS: Final = "mail.attacker.example"


def found(host: str, *unproven: str) -> Found:
    """What a source names."""
    server = Server(host, 995, Security.TLS, "n@example.org")
    return Found((server,), (server,), "a source", unproven=frozenset(unproven))


class Terminal(io.TextIOWrapper):
    """Standard input of a person at a terminal."""

    def isatty(self) -> bool:
        return True


class ConsentTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.tried: list[str] = []
        self.knew: list[str] = []
        self.asked: list[str] = []
        self.agrees = True
        self.discovered: list[Found] = [found(THEIRS, THEIRS), found(OURS)]

        async def discover(discovery: Discovery, address: Address) -> Sequence[Found]:
            return self.discovered

        async def try_account(reactor: Any, one: Account, secrets: Secrets) -> list[TrialResult]:
            assert one.pop3 is not None
            self.tried.append(one.pop3.host)
            return [TrialResult(one.pop3, "pop3")]

        def confirm(text: str, **how: Any) -> bool:
            self.asked.append(text)
            return self.agrees

        self.patch(Discovery, "discover", discover)
        self.patch(account_search, "try_account", try_account)
        self.patch(click, "confirm", confirm)

    def add(self, *words: str, terminal: bool) -> tuple[int, str]:
        """Run `account add`."""
        stdin = Terminal(io.BytesIO()) if terminal else io.TextIOWrapper(io.BytesIO())
        return run_add(self, stdin, "--password-command", "true", *words)

    def test_without_a_terminal_it_is_refused_and_the_options_are_named(self) -> None:
        status, said = self.add(terminal=False)
        self.assertNotEqual(status, 0)
        self.assertEqual(self.tried, [])
        self.assertIn(f"--pop3 {THEIRS}:995 --smtp {THEIRS}:995", said)
        self.assertIn("The password was not sent", said)

    def test_the_user_is_asked_once_before_anything_is_sent(self) -> None:
        status, said = self.add(terminal=True)
        self.assertEqual((status, self.tried), (0, [THEIRS]), said)
        self.assertEqual(len(self.asked), 1)
        self.assertIn(THEIRS, self.asked[0])

    def test_a_host_that_the_user_refuses_is_left_out(self) -> None:
        self.agrees = False
        status, said = self.add(terminal=True)
        self.assertEqual((status, self.tried), (0, [OURS]), said)

    def test_hosts_that_are_authenticated_or_named_need_no_consent(self) -> None:
        for discovered, words in (
            ([found(OURS)], ()),
            ([found(THEIRS)], ()),
            ([found(THEIRS), found(THEIRS, THEIRS)], ()),
            ([found(THEIRS, THEIRS)], ("--pop3", f"{THEIRS}:995", "--smtp", f"{THEIRS}:465")),
        ):
            self.discovered = discovered
            status, said = self.add("--name", f"account{len(self.tried)}", *words, terminal=False)
            self.assertEqual(status, 0, said)
        self.assertEqual((self.asked, len(self.tried)), ([], 4))


class SearchTests(Case):
    """The servers that a search tries, and the passwords that it asks for."""

    def setUp(self) -> None:
        super().setUp()
        #: The server's kind of TLS, and its password.
        self.offered, self.password = Security.STARTTLS, "right"
        self.tried: list[tuple[str, str, int]] = []
        self.typed: list[str] = []

        async def try_account(reactor: Any, one: Account, secrets: Secrets) -> list[TrialResult]:
            results = []
            for protocol, server in (("pop3", one.pop3), ("smtp", one.smtp)):
                if server is not None:
                    self.tried.append((protocol, server.security.value, server.port))
                    result = TrialResult(server, protocol)
                    if server.security is not self.offered:
                        result = replace(result, problem="no TLS there")
                    elif await secrets.get(one, server) != self.password:
                        result = replace(result, tls="TLSv1.3", problem="refused", advice=LOGIN_ADVICE)
                    results.append(result)
            return results

        async def ask_secret(text: str) -> str:
            return self.typed.pop(0)

        self.patch(account_search, "try_account", try_account)
        self.patch(account_search, "ask_secret", ask_secret)
        self.patch(click, "prompt", lambda text, **how: self.typed.pop(0))
        self.patch(Secrets, "keep", self.keep)
        self.kept: dict[str, str] = {}

    async def keep(self, account: Account, server: Server, secret: str) -> None:
        self.kept[str(server)] = secret

    def add(self, *words: str) -> tuple[int, str]:
        """Run `account add` of a person at a terminal."""
        return run_add(self, Terminal(io.BytesIO()), *words)

    def test_starttls_is_tried_where_tls_fails_and_the_user_is_told(self) -> None:
        self.typed = ["right"]
        status, said = self.add("--pop3", "mail.example.org", "--smtp", "mail.example.org:4465")
        self.assertEqual(status, 0, said)
        self.assertEqual(
            self.tried,
            [("pop3", "tls", 995), ("smtp", "tls", 4465), ("pop3", "starttls", 110), ("smtp", "starttls", 4465)],
        )
        self.assertIn("pop3 mail.example.org:995: TLS fails there, and STARTTLS at port 110 works.", said)
        added = self.session.mailbox.account("n@example.org")
        assert added.pop3 is not None
        assert added.smtp is not None
        self.assertEqual((str(added.pop3), added.pop3.security), ("mail.example.org:110", Security.STARTTLS))
        self.assertEqual((str(added.smtp), added.smtp.security), ("mail.example.org:4465", Security.STARTTLS))

    def test_tls_that_the_user_chose_is_not_replaced(self) -> None:
        self.typed = ["right"]
        status, _ = self.add("--pop3", "mail.example.org", "--pop3-security", "tls", "--smtp", "none")
        self.assertEqual((status, self.tried), (69, [("pop3", "tls", 995)]))
        self.assertNotIn("n@example.org", self.session.mailbox.accounts_file.load())

    def test_a_refused_password_is_asked_for_again(self) -> None:
        self.offered = Security.TLS
        self.typed = ["wrong", "wrong too", "right"]
        status, said = self.add("--pop3", "mail.example.org", "--smtp", "none")
        self.assertEqual((status, self.typed), (0, []), said)
        self.assertEqual(said.count("pop3 mail.example.org:995: refused"), 2)
        self.assertEqual(self.kept, {"mail.example.org:995": "right"})

    def test_a_refused_password_is_no_reason_to_try_other_ways_to_the_second_server(self) -> None:
        """After the refusal there is no password, so that server fails without a connection."""
        self.typed = ["wrong", "right"]
        words = ("--pop3", "mail.example.org", "--pop3-security", "starttls", "--smtp", "mail.example.org")
        status, said = self.add(*words)
        self.assertEqual(status, 0, said)
        first = [("pop3", "starttls", 110), ("smtp", "tls", 465)]
        self.assertEqual(self.tried, [*first, *first, ("smtp", "starttls", 587)])

    def test_after_three_refusals_nothing_is_kept(self) -> None:
        self.offered = Security.TLS
        self.typed = ["a", "b", "c", "d"]
        status, said = self.add("--pop3", "mail.example.org", "--smtp", "none")
        self.assertEqual((status, self.typed, self.kept), (69, ["d"], {}), said)
        self.assertNotIn("n@example.org", self.session.mailbox.accounts_file.load())
        self.assertFalse((self.mailbox.paths.archive / "n@example.org").exists())

    def test_an_account_signs_and_encrypts_from_the_first_message(self) -> None:
        words = ("--pop3", "none", "--smtp", "none", "--sign", "--encrypt", "always", "--openpgp-key")
        status, said = self.add(*words, "my key")
        self.assertEqual(status, 64, said)
        self.assertIn("--openpgp-key 'mykey'", said)
        status, said = self.add(*words, "0123 4567 89AB CDEF  0123 4567 89AB CDEF 0123 4567")
        self.assertEqual(status, 0, said)
        added = self.session.mailbox.account("n@example.org")
        self.assertEqual((added.sign, added.encrypt), (True, Encrypt.ALWAYS))
        self.assertEqual(added.openpgp_key, "0123456789ABCDEF0123456789ABCDEF01234567")

    def test_an_account_without_servers_needs_no_password(self) -> None:
        status, said = self.add("--pop3", "none", "--smtp", "none")
        self.assertEqual((status, self.tried), (0, []), said)


def run_add(case: SynchronousTestCase, stdin: io.TextIOBase, *words: str) -> tuple[int, str]:
    """Run `account add` on a clock in place of a reactor. Return its exit status and standard error."""

    def at_once(work: Any) -> Any:
        ended: list[Any] = []
        running = Deferred.fromCoroutine(work(Clock())).addBoth(ended.append)
        case.assertTrue(running.called)
        return result_of(ended[0])

    err = io.StringIO()
    session = Session(at_once)
    case.addCleanup(session.close)
    case.patch(sys, "stdin", stdin)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        status = execute(session, ["account", "add", "n@example.org", *words])
    return status, err.getvalue()


class PromptTests(SynchronousTestCase):
    def test_ctrl_c_at_the_prompt_interrupts_although_a_reactor_handles_it(self) -> None:
        before = signal.signal(signal.SIGINT, lambda *_: None)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        handled: list[Any] = []

        def prompt(text: str, **how: Any) -> str:
            handled.append(signal.getsignal(signal.SIGINT))
            raise click.Abort

        self.patch(click, "prompt", prompt)
        self.patch(sys, "stdin", Terminal(io.BytesIO()))
        reactors = signal.getsignal(signal.SIGINT)
        self.assertRaises(KeyboardInterrupt, ask_secret("Password: ").send, None)
        self.assertEqual(handled, [signal.default_int_handler])
        self.assertIs(signal.getsignal(signal.SIGINT), reactors)
