"""The daemon without its store: mail is delayed, and only an operator creates a new store."""

from __future__ import annotations

import base64
import contextlib
import http.client
import shutil
from pathlib import Path

from emailsys.cli.direct_access import carry_out
from emailsys.cli.options import NoStore
from emailsys.cli.tryout.round_trip import ALICE, BOB
from emailsys.config.settings import Settings, StoreSettings
from emailsys.control.requests import DomainAdd, DomainAddMany, Init, Status, UserList
from emailsys.daemon import intake_watch
from emailsys.daemon.service import Daemon
from emailsys.daemon.store_placeholder import StorePlaceholder
from emailsys.interfaces import StoreMissing
from emailsys.mail.address import Address
from emailsys.store.directory import cache
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry
from tests.system.daemon.test_daemon import DaemonCase, Line

_RECIPIENTS = (f"<{BOB}>", "<nobody@example.test>", "<postmaster>", "<x@elsewhere.test>", "<x@[192.0.2.1]>")
_OTHER_DOMAIN = (
    DomainAdd("other.test", Address("a", "other.test")),
    DomainAddMany((("other.test", Address("a", "other.test")),)),
)


def make_other(folder: Path) -> None:
    """Create a store with another domain."""

    async def add(store: Store) -> None:
        await store.accounts.add_domain("other.test", Address("a", "other.test"))

    run_offline(StoreSettings(), folder, add, Telemetry(), create=True)


class MissingStoreTests(DaemonCase):
    """No reply is permanent while the store is missing."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(intake_watch, "WATCH_EVERY", 0.05)

    def answers(self) -> dict[str, str]:
        """Return the replies to an anonymous client, a user who sends and a user who fetches."""
        heard: dict[str, str] = {}
        for recipient in _RECIPIENTS:
            with contextlib.closing(Line(self.ports["smtp"])) as line:
                line.read()
                line.say("EHLO localhost")
                line.say("MAIL FROM:<x@example.org>")
                heard[recipient] = line.say(f"RCPT TO:{recipient}")
        with contextlib.closing(Line(self.ports["submission"])) as line:
            line.read()
            line.say("EHLO localhost")
            heard["AUTH"] = line.say("AUTH PLAIN " + base64.b64encode(f"\0{ALICE}\0wrong".encode()).decode())
        for user in (BOB, "bob"):
            with contextlib.closing(Line(self.ports["pop3"])) as line:
                line.read()
                line.say(f"USER {user}")
                heard[f"PASS of {user}"] = line.say("PASS wrong")
        return heard

    async def assert_all_wait(self, word: str) -> None:
        heard = await self.away(self.answers)
        for asked, answer in heard.items():
            expected = {"AUTH": "454 4.7.0"}.get(asked, "451 4.3.5")
            expected = "-ERR [SYS/TEMP]" if asked.startswith("PASS") else expected
            self.assertTrue(answer.startswith(expected), f"{asked}: {answer}")
        self.assertIn(word, heard[f"<{BOB}>"])

    def critical(self, daemon: Daemon) -> int:
        return daemon.telemetry.counters["intake-suspended"]

    async def test_mail_waits_and_no_store_is_made(self) -> None:
        """The state folder may be an unmounted mount point: no store is created in it, however long the daemon runs."""
        daemon = self.started()
        await self.assert_all_wait("store of this system is missing")
        await self.assert_all_wait("store of this system is missing")
        status = await self.ask(Status())
        self.assertIn(f"there is no store in {self.state}", status["store"]["problem"])
        self.assertEqual(self.critical(daemon), 1, "one line in ten minutes, not one for each recipient")
        self.patch(intake_watch, "LOG_EVERY", 0.0)
        await self.ask(Status())
        self.assertGreater(self.critical(daemon), 1)
        self.assertFalse((self.state / "mail.sqlite").exists())
        answer = await self.away(self.raw, UserList())
        self.assertEqual(answer["error"]["kind"], "missing")
        self.assertFalse((self.state / "mail.sqlite").exists())

    async def test_browsers_are_told_at_once(self) -> None:
        """503 until there is a store; then the web face is on the same port."""
        self.config.write_text(self.config.read_text() + '[web]\nlisten = ["127.0.0.1:0"]\n')
        self.started()
        (address,) = (await self.ask(Status()))["listening"]["http"]

        def get() -> int:
            connection = http.client.HTTPConnection(address, timeout=30)
            with contextlib.closing(connection):
                connection.request("GET", "/login")
                return connection.getresponse().status

        self.assertEqual(await self.away(get), 503)
        await self.ask(DomainAdd("example.test", Address(*ALICE.split("@"))))
        self.assertEqual(await self.away(get), 200)

    async def test_a_store_without_domains_answers_451(self) -> None:
        """`emailsys init` makes the store, and the running daemon uses it. RCPT gets 451 until a domain is added."""
        daemon = self.started()
        changes: list[object] = []
        daemon.telemetry.also = lambda name, fields: changes.append(fields) if name == "operator-change" else None
        self.assertIs((await self.ask(Init()))["made"], True)
        self.assertIs((await self.ask(Init()))["made"], False)
        self.assertEqual(str(changes).count("'command': 'init'"), 1, "the second one changes nothing")
        await self.assert_all_wait("no domain yet")
        self.assertIn("no domain", (await self.ask(Status()))["store"]["problem"])
        await self.accounts()
        self.assertIsNone((await self.ask(Status()))["store"]["problem"])
        self.assertEqual(daemon.telemetry.counters["intake-resumed"], 1)
        heard = await self.away(self.answers)
        codes = [answer[:3] for asked, answer in heard.items() if not asked.startswith("PASS")]
        self.assertEqual(codes, ["250", "550", "250", "550", "550", "535"])

    async def test_a_domain_makes_the_store(self) -> None:
        """`domain add` is the first step on every new system. Open sessions get 421, and their clients reconnect."""
        self.started()
        line = await self.away(Line, self.ports["smtp"])
        self.addCleanup(line.close)
        await self.away(line.read)
        await self.accounts()
        self.assertTrue((await self.away(line.read)).startswith("421 "))
        self.assertEqual((await self.away(self.answers))[f"<{BOB}>"][:3], "250")

    async def test_a_store_that_comes_back_is_served(self) -> None:
        """After a restore, the daemon uses the store without a restart."""
        first = self.started()
        await self.accounts()
        await first.stopService()
        kept = self.state.with_name("kept.sqlite")
        shutil.move(self.state / "mail.sqlite", kept)
        self.started()
        await self.assert_all_wait("store of this system is missing")
        shutil.move(kept, self.state / "mail.sqlite")
        self.assertIsNone((await self.ask(Status()))["store"]["problem"])
        heard = await self.away(self.answers)
        self.assertEqual((heard[f"<{BOB}>"][:3], heard["<nobody@example.test>"][:3]), ("250", "550"))

    async def test_a_domain_makes_no_store_in_the_place_of_a_lost_one(self) -> None:
        """Its disk may not be mounted. A new store would refuse the mail of all former domains for good."""
        first = self.started()
        await self.accounts()
        await first.stopService()
        shutil.move(self.state / "mail.sqlite", self.state.with_name("kept.sqlite"))
        identity = (self.state / "store-identity").read_bytes()
        for request in _OTHER_DOMAIN:
            with self.assertRaises(NoStore):
                await self.away(carry_out, Settings("mail.example.test", state=self.state), request, True)
        self.started()
        for request in _OTHER_DOMAIN:
            self.assertEqual((await self.away(self.raw, request))["error"]["kind"], "missing")
        await self.assert_all_wait("store of this system is missing")
        self.assertFalse((self.state / "mail.sqlite").exists())
        self.assertEqual((self.state / "store-identity").read_bytes(), identity)
        self.assertIs((await self.ask(Init()))["made"], True, "an operator says that it is lost")

    async def test_a_file_of_domains_makes_the_store(self) -> None:
        self.started()
        self.assertIn("result", await self.away(self.raw, _OTHER_DOMAIN[1]))

    async def test_a_store_that_was_replaced_while_the_daemon_was_stopped_waits_for_an_operator(self) -> None:
        """It has a domain, and would refuse everybody else for good. The command uses it without a restart."""
        first = self.started()
        await self.accounts()
        await first.stopService()
        other = self.state.with_name("other")
        await self.away(make_other, other)
        shutil.copy(other / "mail.sqlite", self.state / "mail.sqlite")
        daemon = self.started()
        await self.assert_all_wait("store of this system is missing")
        self.assertIn("is not the one that was used before", (await self.ask(Status()))["store"]["problem"])
        self.assertEqual(self.critical(daemon), 1)
        answer = await self.away(self.raw, Init())
        self.assertEqual(answer["error"]["kind"], "missing")
        self.assertIs((await self.ask(Init(adopt=True)))["adopted"], True)
        self.assertIsNone((await self.ask(Status()))["store"]["problem"])
        self.assertEqual((await self.away(self.answers))[f"<{BOB}>"][:3], "550")

    async def test_a_store_that_vanishes_or_is_replaced_is_answered_with_451(self) -> None:
        """The daemon answers neither from its cache nor from the wrong store. It uses the right one once it is back."""
        self.patch(cache, "_LOOK_EVERY", 0.0)
        daemon = self.started()
        await self.accounts()
        await self.away(self.answers)
        path, kept = self.state / "mail.sqlite", self.state.with_name("kept.sqlite")
        shutil.move(path, kept)
        await self.assert_all_wait("store of this system is missing")
        store = (await self.ask(Status()))["store"]
        self.assertIn("mail.sqlite", store["problem"])
        self.assertIn("Put the original file back", store["problem"], "what it means, and what to do")
        self.assertIs(store["untrusted"], True)
        self.assertEqual(self.critical(daemon), 2, "one line before the first domain, one since the store is gone")
        other = self.state.with_name("other")
        await self.away(make_other, other)
        shutil.copy(other / "mail.sqlite", path)
        await self.assert_all_wait("store of this system is missing")
        shutil.move(kept, path)
        heard = await self.away(self.answers)
        self.assertEqual((heard[f"<{BOB}>"][:3], heard["<nobody@example.test>"][:3]), ("250", "550"))

    def test_a_daemon_in_the_background_starts_without_a_store(self) -> None:
        """The start prints a message on the terminal."""
        daemon = self.prepared(background=True)
        self.addCleanup(daemon.stopService)
        self.assertIn("there is no store in", self.said.getvalue())

    async def test_the_placeholder_of_a_store_answers_every_request_with_store_missing(self) -> None:
        """A password neither, and no message."""
        placeholder = StorePlaceholder("gone")
        for asked in (placeholder.open(1), placeholder.targets("a", "b"), placeholder.find_address("a", "b")):
            with self.assertRaises(StoreMissing):
                await asked
        self.failureResultOf(placeholder.verify(None, "x"), StoreMissing)
        self.assertRaises(StoreMissing, placeholder.begin)
