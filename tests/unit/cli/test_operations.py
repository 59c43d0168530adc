"""The operator's commands on a store, while no daemon runs: queue, trace and verify."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from emailsys.cli import administer, output
from emailsys.cli.amounts import octets_of, shown_span
from emailsys.cli.commands import status as status_command
from emailsys.cli.commands import trace as trace_command
from emailsys.cli.commands.alias import alias
from emailsys.cli.commands.domain import domain
from emailsys.cli.commands.queue import queue
from emailsys.cli.commands.route import route
from emailsys.cli.commands.user import user
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.control.requests import Trace
from emailsys.interfaces import Fate
from emailsys.mail.quantities import shown_size
from emailsys.store.open import Store
from tests.unit.cli.cli_case import CLICase
from tests.unit.cli.operations_case import OperationsCase


class HelpTests(CLICase):
    """The output of --help."""

    def test_the_help_of_each_command_of_an_operator_shows_how_it_is_called(self) -> None:
        """Its first words are those of the command."""
        groups: dict[str, Any] = {"user": user, "domain": domain, "alias": alias, "route": route, "queue": queue}
        commands = [f"{name} {verb}" for name, group in groups.items() for verb in group.commands]
        for command in [*commands, "verify", "status", "trace", "init"]:
            text = self.fine(*command.split(), "--help")
            self.assertIn(f"\n    emailsys {command}", text, command)
        self.assertNotIn("queue drop", self.fine("queue", "hold", "--help"), "those of others are left out")

    def test_no_command_but_init_and_domain_add_makes_a_store(self) -> None:
        """ "No flaws found" would be misleading if the folder is the wrong one."""
        ann = "ann@example.test"
        for command in (
            ["queue", "list"],
            ["queue", "summary"],
            ["queue", "retry", "--domain", "example.test"],
            ["trace", ann],
            ["verify"],
            ["upgrade"],
            ["domain", "list"],
            ["domain", "remove", "example.test"],
            ["domain", "quota", "example.test", "1GiB"],
            ["user", "list"],
            ["user", "add", ann, "--password-stdin"],
            ["user", "password", ann, "--password-stdin"],
            ["user", "remove", ann],
            ["alias", "list"],
            ["alias", "set", "a@example.test", ann],
            ["route", "list"],
            ["route", "set", "smtp.example"],
            ["route", "explain", ann],
        ):
            err = self.refused(Exit.NO_INPUT, *command, typed=b"correct horse battery\n")
            self.assertIn(f"there is no store in {self.state}. Run `emailsys init`", err)
        self.assertIn("there is no store", self.run_it("config", "check")[2])
        self.assertIn("no daemon runs, and there is no store", self.refused(Exit.UNAVAILABLE, "status"))
        self.assertFalse(self.state.exists())


class InitTests(CLICase):
    """The command that creates a store."""

    def test_a_store_is_made_once(self) -> None:
        """A second `init` changes nothing and says so. Only the owner may read the folder."""
        path = str(self.state / "mail.sqlite")
        self.assertEqual(json.loads(self.fine("init", "--json")), {"store": path, "made": True, "adopted": False})
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)
        self.assertIn("no domain has been added", self.run_it("config", "check")[2])
        self.fine("domain", "add", "example.test", "--postmaster", "ann@example.test")
        self.assertEqual(json.loads(self.fine("init", "--json")), {"store": path, "made": False, "adopted": False})
        self.assertIn("example.test", self.fine("domain", "list"))
        self.assertNotIn("no domain", self.run_it("config", "check")[2])

    def test_another_store_is_used_only_by_an_operators_word(self) -> None:
        """Each command refuses a store with another identity, and `init --adopt` accepts it. A copy is not another."""
        database = self.state / "mail.sqlite"
        self.fine("domain", "add", "example.test", "--postmaster", "ann@example.test")
        backup = database.read_bytes()
        other = self.state.with_name("other")
        add = ("domain", "add", "other.test", "--postmaster", "a@other.test")
        self.assertEqual(self.run_it(*add, "--state", str(other))[0], 0)
        database.write_bytes((other / "mail.sqlite").read_bytes())
        for command in (["domain", "list"], ["domain", "add", "new.test", "--postmaster", "a@new.test"], ["init"]):
            err = self.refused(Exit.NO_INPUT, *command)
            self.assertIn("is not the one that was used before", err)
            self.assertIn("emailsys init --adopt", err)
        self.assertIn("is not the one that was used before", self.run_it("config", "check")[2])
        database.write_bytes(backup)
        self.assertIn("example.test", self.fine("domain", "list"))
        database.write_bytes((other / "mail.sqlite").read_bytes())
        self.assertIs(json.loads(self.fine("init", "--adopt", "--json"))["adopted"], True)
        self.assertIn("other.test", self.fine("domain", "list"))
        self.assertIs(json.loads(self.fine("init", "--adopt", "--json"))["adopted"], False)
        database.unlink()
        self.assertIn("there is no store", self.refused(Exit.NO_INPUT, "init", "--adopt"))

    def test_the_way_of_mail_is_not_explained_by_a_store_without_domains(self) -> None:
        """Otherwise the explanation would say that all addresses belong to other systems."""
        self.fine("init")
        self.assertIn("no domain has been added", self.refused(Exit.DATA, "route", "explain", "ann@example.test"))


class QueueTests(OperationsCase):
    """The queue."""

    def test_queue_list_shows_the_last_reply_of_the_host(self) -> None:
        queue_id = self.accept()
        later = datetime(2099, 1, 1, tzinfo=UTC)
        self.attempt(
            due_at=later, reply=f"451 4.7.1 greylisted,\n{'word ' * 40}try again", remote="mx.example.net [192.0.2.9]"
        )
        (row,) = self.told("queue", "list", "--domain", "example.net")
        self.assertEqual((row["queue_id"], row["state"], row["attempts"]), (queue_id, "waiting", 1))
        self.assertEqual((row["due"], row["remote"]), ("2099-01-01T00:00:00Z", "mx.example.net [192.0.2.9]"))
        text = self.fine("queue", "list")
        self.assertIn(f"451 4.7.1 greylisted, {'word ' * 40}try again", text)
        self.assertIn("4.9 KiB", self.fine("queue", "show", queue_id))
        self.assertEqual(len(self.told("queue", "show", queue_id)["waiting"]), 1)
        self.assertEqual(self.told("queue", "list", "--older-than", "1h"), [])
        (domain,) = self.told("queue", "summary")
        self.assertEqual((domain["domain"], domain["waiting"]), ("example.net", 1))
        self.assertIn("example.net", self.fine("queue", "summary"))

    def test_a_held_message_waits_for_its_release(self) -> None:
        queue_id = self.accept()
        self.assertEqual(self.told("queue", "hold", queue_id), {"changed": 1})
        self.assertEqual(self.told("queue", "list", "--status", "held")[0]["due"], None)
        self.assertEqual(self.told("queue", "retry", "--all"), {"changed": 0})
        self.assertEqual(self.told("queue", "release", "--sender", "carol@example.org"), {"changed": 1})
        _, _, err = self.run_it("queue", "retry", "--all")
        self.assertIn("1 recipient due now", err)

    def test_the_state_of_a_row_is_not_taken_for_a_state_folder(self) -> None:
        err = self.refused(Exit.USAGE, "queue", "list", "--state", "held")
        self.assertIn("To choose rows by their state, use --status held", err)

    def test_drop_names_the_messages_and_asks_for_confirmation(self) -> None:
        queue_id = self.accept()
        self.refused(Exit.USAGE, "queue", "drop", "--yes")
        self.refused(Exit.USAGE, "queue", "drop", queue_id, typed=b"")
        self.refused(Exit.INTERRUPTED, "queue", "drop", queue_id, typed="n\n")
        self.assertEqual(len(self.told("queue", "list")), 1)
        self.fine("queue", "drop", queue_id, typed="y\n")
        self.assertEqual(self.told("queue", "list"), [])
        self.assertIn("its history is known: emailsys trace", self.refused(Exit.DATA, "queue", "show", queue_id))
        self.refused(Exit.DATA, "queue", "show", "nonsense")

    def test_the_forecast_is_the_real_schedule(self) -> None:
        steps = self.told("queue", "forecast", "--host-down", "3h")
        self.assertEqual(steps[0], {**steps[0], "after": 0, "what": "attempt fails"})
        self.assertEqual(steps[1]["after"], 300)
        self.assertEqual(steps[-1]["what"], "delivered")
        self.assertIn("a warning of the delay", self.fine("queue", "forecast", "--host-down", "5h"))
        self.assertIn("failed, the sender", self.fine("queue", "forecast", "--host-down", "6d"))
        self.refused(Exit.USAGE, "queue", "forecast", "--host-down", "long")

    def test_the_forecast_is_that_of_the_daemon_that_runs_whatever_file_it_was_given(self) -> None:
        config, named = self.state / "other.toml", self.state / "named.toml"
        config.write_text("[queue]\nfirst_retry = 7\n")
        named.touch()
        daemon = {"result": {"config": str(config), "pid": 4711}}
        self.patch(administer, "ask", lambda folder, request, timeout: daemon)
        _, out, err = self.run_it("queue", "forecast", "--host-down", "3h", "--json")
        self.assertEqual(json.loads(out)[1]["after"], 7)
        self.assertIn(f"by {config}, the configuration of the running daemon, process 4711", err)
        steps = self.told("queue", "forecast", "--host-down", "3h", "--config", str(named))
        self.assertEqual(steps[1]["after"], 300)


class LifeTests(OperationsCase):
    """Trace, verify, status."""

    def test_a_message_is_told_in_plain_words(self) -> None:
        queue_id = self.accept()
        later = datetime(2020, 1, 1, tzinfo=UTC)
        self.attempt(due_at=later, reply="451 4.7.1 greylisted", remote="mx.example.net [192.0.2.9]", warned=True)
        self.attempt(reply="no reply", fate=Fate.FAILED, remote="mx.example.net [192.0.2.9]", in_doubt=True)
        for query in (queue_id, "<abc@client.example>", "dave@example.net"):
            text = self.fine("trace", query)
            for words in (
                f"message {queue_id} from carol@example.org, 4.9 KiB",
                "accepted from client.example.org [192.0.2.1] by ESMTPS, logged in as carol@example.org, TLSv1.3",
                "to ann@example.test: stored in the maildrop",
                "to dave@example.net: waits in the queue for another host",
                "to dave@example.net: attempt at mx.example.net [192.0.2.9] failed, delayed: 451 4.7.1 greylisted",
                "to dave@example.net: the sender got a warning of the delay",
                "failed at mx.example.net [192.0.2.9], the sender got a notice: no reply (no reply to the end of the",
                "now: in 1 maildrop",
            ):
                self.assertIn(words, text)
        (life,) = self.told("trace", queue_id)
        self.assertEqual((life["message_id"], life["stored"], life["queued"]), ("<abc@client.example>", 1, 0))
        self.assertIn("nothing found for", self.refused(Exit.FAILED, "trace", "nobody@nowhere.example"))

    def test_a_long_search_tells_a_terminal_how_far_it_is(self) -> None:
        """Each part takes a second. The result is printed once, at the end."""
        queue_id = self.accept()
        parts = [
            {"lives": [], "cursor": "7", "messages_read": 5000, "read_back_to": "2026-01-02T03:04:05Z"},
            {
                "lives": self.told("trace", queue_id),
                "cursor": None,
                "messages_read": 10,
                "read_back_to": "2026-01-01T00:00:00Z",
            },
        ]
        asked: list[Any] = []

        def answer(where: Any, request: Trace) -> Any:
            asked.append(request)
            return parts[len(asked) - 1]

        self.patch(trace_command, "administer", answer)
        self.patch(output, "is_watched", lambda: True)
        _, out, err = self.run_it("trace", "dave@example.net", "--since", "3d")
        self.assertEqual([request.cursor for request in asked], [None, "7"])
        self.assertIn("5000 messages searched, back to 2026-01-02", err)
        self.assertEqual(out.count(f"message {queue_id}"), 1)

    def test_all_is_well_until_something_is_lost(self) -> None:
        queue_id = self.accept()
        report = self.told("verify")
        self.assertEqual((report["messages"], report["flaws"]), (1, []))
        self.assertEqual(report["recipients"], {"maildrop": 1, "queue": 1})
        self.assertIn("no flaws found", self.fine("verify"))

        async def lose(store: Store) -> None:
            await store.database.run("test", lambda c: c.exec_driver_sql("DELETE FROM maildrop").rowcount)

        self.do(lose)
        status, out, _ = self.run_it("verify")
        self.assertEqual(status, Exit.FAILED)
        self.assertIn(f"FLAW {queue_id}: it has 2 recipients, but 1 were found", out)

    def test_the_status_says_that_no_daemon_runs_and_what_waits(self) -> None:
        self.accept()
        status, out, _ = self.run_it("status")
        self.assertEqual(status, Exit.UNAVAILABLE)
        self.assertIn("no daemon runs", out)
        self.assertIn("queue: 1 waiting, 0 leased, 0 held", out)
        _, out, _ = self.run_it("status", "--json")
        self.assertEqual(json.loads(out)["daemon"], None)

    def test_the_status_says_how_much_room_the_disk_has_for_mail(self) -> None:
        """The disk is reported before mail is delayed, and so is the reason of a delay."""
        for free, told in (
            (5 << 30, "disk: 5.0 GiB left for mail"),
            (100 << 20, "disk: 100 MiB left for mail, nearly full"),
            (
                9 << 20,
                "disk: TOO FULL FOR MAIL: 9.0 MiB are free, 75 MiB are required; until then, mail is answered with "
                "452 4.3.1",
            ),
        ):
            daemon = {
                "version": "1",
                "hostname": "mx",
                "pid": 7,
                "uptime": 5,
                "state": "/s",
                "config": None,
                "listening": {},
                "sessions": {},
                "counters": {},
                "disk": {"free": free, "required": 75 << 20},
            }
            self.patch(status_command, "daemon_status", lambda where, daemon=daemon: daemon)
            self.assertIn(f"\n{told}\n", self.fine("status"))

    def test_the_status_says_which_workers_serve_and_why_others_do_not(self) -> None:
        seven = {"pid": 7, "connections": 1, "uptime": 90}
        for serving, problem, told, *services in (
            ([seven], None, "worker 7: 1 connection, up 1m", "smtp", "pop3"),
            ([seven], None, "POP3 worker 7: 1 connection, up 1m"),
            ([seven], "signal 9 ended it", "1 of 2 POP3 workers are running, the others serve all sessions (the last "),
            ([], None, "0 of 2 POP3 workers are running, the daemon serves all sessions (starting)"),
        ):
            daemon = {
                "version": "1",
                "hostname": "mx",
                "pid": 5,
                "uptime": 5,
                "state": "/s",
                "config": None,
                "listening": {},
                "sessions": {},
                "counters": {},
                "workers": {"wanted": 2, "serving": serving, "problem": problem, "services": services or ["pop3"]},
            }
            self.patch(status_command, "daemon_status", lambda where, daemon=daemon: daemon)
            self.assertIn(f"\n  {told}", self.fine("status"))

    def test_a_size_is_read_as_people_write_it(self) -> None:
        """A letter alone is a power of 1024, as in `du`; the same for quotas and for `--max-size`."""
        for text, octets in (
            ("2000", 2000), ("0", 0), ("12 B", 12), ("500k", 500 << 10), ("1M", 1 << 20), ("1.5M", 3 << 19),
            ("2g", 2 << 30), ("2 GiB", 2 << 30), ("1 TiB", 1 << 40),
            ("500MB", 500 * 10**6), ("1.001kB", 1001), ("3gb", 3 * 10**9),
        ):  # fmt: skip
            self.assertEqual(octets_of(text), octets, text)
        for text in ("", "M", "1P", "-1", "+1", "1,5M", "0x10", "1e3", "\u0661M", "1 M B", "big"):
            self.assertRaises(Refused, octets_of, text)
        self.fine("user", "quota", "ann@example.test", "1M")
        self.assertEqual(self.told("user", "list")[0]["quota"], 1 << 20)
        err = self.refused(Exit.USAGE, "user", "quota", "ann@example.test", "much")
        self.assertIn("'much' is not a size; examples: 2000, 500K, 1.5M, 2GiB, 500MB", err)

    def test_spans_and_sizes_are_short(self) -> None:
        self.assertEqual([shown_span(n) for n in (5, 60, 3700, 90_000)], ["5s", "1m", "1h 1m", "1d 1h"])
        self.assertEqual(
            [shown_size(n) for n in (0, 1023, 1536, 50 << 20, 3 << 40)],
            ["0 B", "1023 B", "1.5 KiB", "50 MiB", "3.0 TiB"],
        )


del OperationsCase, CLICase
