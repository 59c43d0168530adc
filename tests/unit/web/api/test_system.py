"""Operations for operators: directory, routes, queue, status, trace and check."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from emailsys.interfaces import Fate
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.web.api import wire_operations
from emailsys.web.api.live import Stream
from tests.unit.web.api.api_case import ANN, ApiCase

ZOE = Address("zoe", "elsewhere.example")


class DirectoryTests(ApiCase):
    def test_domains_come_and_go(self) -> None:
        body = {"name": "example.net", "postmaster": "ann@example.test"}
        self.assertEqual(self.fine("POST", "/domains", body)["postmaster"], "ann@example.test")
        self.problem(409, "refused", self.ask("POST", "/domains", body))
        names = [row["name"] for row in self.fine("GET", "/domains")["items"]]
        self.assertEqual(names, ["example.net", "example.test"])
        self.assertIsNone(self.fine("DELETE", "/domains/example.net"))
        self.problem(404, "not-found", self.ask("DELETE", "/domains/example.net"))
        self.problem(409, "refused", self.ask("DELETE", "/domains/example.test"))

    def test_users_come_change_and_go(self) -> None:
        body = {"address": "carol@example.test", "password": "correct horse"}
        self.assertTrue(self.fine("POST", "/users", body)["enabled"])
        self.problem(409, "refused", self.ask("POST", "/users", body))
        self.problem(404, "not-found", self.ask("POST", "/users", {**body, "address": "a@unknown.example"}))
        weak = self.problem(422, "invalid", self.ask("POST", "/users", {**body, "password": "short"}))
        self.assertEqual(weak["errors"][0]["pointer"], "/password")
        path = "/users/carol%40example.test"
        changed = self.fine("PATCH", path, {"enabled": False, "quota": 1000, "forward": ["ann@example.test"]})
        self.assertEqual(
            (changed["enabled"], changed["quota"], changed["forward"]), (False, 1000, ["ann@example.test"])
        )
        changed = self.fine("PATCH", path, {"keeps_copy": False, "quota": None, "password": "another one"})
        self.assertEqual((changed["keeps_copy"], changed["quota"], changed["enabled"]), (False, None, False))
        self.assertEqual(self.fine("PATCH", path, {"forward": []})["forward"], [])
        self.problem(422, "invalid", self.ask("PATCH", path, {}))
        self.assertEqual(self.fine("GET", path), self.fine("GET", "/users/Carol@EXAMPLE.test"))
        self.fine("DELETE", path, purge=True)
        for method in ("GET", "DELETE"):
            self.problem(404, "not-found", self.ask(method, path))
        self.problem(404, "not-found", self.ask("PATCH", path, {"enabled": True}))

    def test_a_list_comes_in_pages_that_neither_repeat_nor_skip(self) -> None:
        for number in range(7):
            self.store.seed_account(f"user{number}@example.test", {})
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            found = self.fine("GET", "/users", limit=2, domain="example.test", **cursor)
            seen += [row["address"] for row in found["items"]]
            if len(seen) == 4:
                # What was seen goes; what comes before does not appear.
                self.fine("DELETE", f"/users/{seen[3]}")
                self.store.seed_account("aaa@example.test", {})
            if found["next"] is None:
                break
            cursor = {"cursor": found["next"]}
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(len(seen), 9)

    def test_aliases_come_and_go(self) -> None:
        alias = self.fine("PUT", "/aliases/sales@example.test", {"targets": ["ann@example.test", str(ZOE)]})
        self.assertEqual(alias["targets"], ["ann@example.test", str(ZOE)])
        self.fine("PUT", "/aliases/%40example.test", {"targets": ["bob@example.test"]})
        names = [row["name"] for row in self.fine("GET", "/aliases")["items"]]
        self.assertIn("@example.test", names)
        self.assertIn("sales@example.test", names)
        self.fine("DELETE", "/aliases/sales@example.test")
        self.problem(409, "refused", self.ask("DELETE", "/aliases/sales@example.test"))
        self.problem(422, "invalid", self.ask("PUT", "/aliases/sales@example.test", {"targets": []}))
        for wrong in ("nothing", "%40a%20b", "%40"):
            self.problem(422, "invalid", self.ask("DELETE", f"/aliases/{wrong}"))


class QueueTests(ApiCase):
    def accept(self, *paths: Address) -> str:
        incoming = self.store.intake.begin()
        incoming.write(b"Subject: x\r\n\r\nx\r\n")
        recipients = tuple(Recipient(path, (RemoteRoute(path),)) for path in paths)
        local = Recipient(ANN, (LocalRoute(self.ann.account_id),))
        envelope = Envelope(ANN, (*recipients, local), self.store.now())
        self.successResultOf(Deferred.fromCoroutine(incoming.commit(envelope)))
        return incoming.queue_id

    def test_the_queue_comes_in_pages(self) -> None:
        paths = [Address(f"zoe{number}", "elsewhere.example") for number in range(5)]
        queue_id = self.accept(*paths)
        first = self.fine("GET", "/queue", limit=3)
        second = self.fine("GET", "/queue", limit=3, cursor=first["next"])
        self.assertEqual(len(first["items"]), 3)
        self.assertIsNone(second["next"])
        found = [*first["items"], *second["items"]]
        self.assertEqual([row["recipient"] for row in found], [str(path) for path in paths])
        self.assertEqual({row["queue_id"] for row in found}, {queue_id})
        self.assertEqual({type(row["id"]) for row in found}, {str})
        self.assertEqual(self.fine("GET", "/queue", domain="other.example")["items"], [])
        (row,) = self.fine("GET", "/queue/summary")["items"]
        self.assertEqual((row["domain"], row["waiting"]), ("elsewhere.example", 5))

    def test_rows_are_held_released_and_dropped(self) -> None:
        queue_id = self.accept(ZOE)
        self.assertEqual(self.fine("POST", "/queue/actions", {"action": "hold", "queue_ids": [queue_id]})["changed"], 1)
        self.assertEqual(self.fine("GET", "/queue", state="held")["items"][0]["due"], None)
        changed = self.fine("POST", "/queue/actions", {"action": "release", "domain": "elsewhere.example"})
        self.assertEqual(changed["changed"], 1)
        for wrong in (
            {"action": "drop"},
            {"action": "drop", "all": True, "queue_ids": ["a"]},
            {"action": "drop", "all": False},
        ):
            self.problem(422, "invalid", self.ask("POST", "/queue/actions", wrong))
        self.assertEqual(self.fine("POST", "/queue/actions", {"action": "drop", "all": True})["changed"], 1)
        self.assertIn(Fate.DROPPED, self.store.messages[0].ended.values())

    def test_the_forecast_is_the_schedule(self) -> None:
        steps = self.fine("GET", "/queue/forecast", host_down=3600)["items"]
        self.assertEqual(steps[0]["after"], 0)
        self.assertGreater(len(steps), 2)
        self.assertEqual([step["after"] for step in steps], sorted(step["after"] for step in steps))
        self.problem(422, "invalid", self.ask("GET", "/queue/forecast"))
        self.problem(422, "invalid", self.ask("GET", "/queue/forecast", host_down="nan"))

    def test_routes_come_and_go_without_their_passwords(self) -> None:
        body = {"host": "smart.example", "tls": "verified", "username": "me", "password": "hunter2", "to": "a.example"}
        made = self.fine("PUT", "/routes", body)
        self.assertEqual((made["to"], made["from"], made["username"]), ("a.example", None, "me"))
        self.assertNotIn("hunter2", repr(self.fine("GET", "/routes")))
        self.problem(422, "invalid", self.ask("PUT", "/routes", {**body, "tls": "none"}))
        self.problem(422, "invalid", self.ask("PUT", "/routes", {**body, "host": "a b"}))
        pin = {"host": "smart.example", "tls": "verified", "certificate_fingerprint": "xyz"}
        self.problem(422, "invalid", self.ask("PUT", "/routes", pin))
        self.fine("DELETE", "/routes", to="a.example")
        self.problem(409, "refused", self.ask("DELETE", "/routes", to="a.example"))

    def test_a_route_is_explained(self) -> None:
        found = self.fine("GET", f"/routes/explain/{ZOE}", sender="ann@example.test")
        self.assertEqual((found["address"], found["sender"]), (str(ZOE), "ann@example.test"))

    def test_a_message_is_traced_and_the_store_checked(self) -> None:
        queue_id = self.accept(ZOE)
        (life,) = self.fine("GET", "/trace", query=queue_id)["items"]
        self.assertEqual((life["queue_id"], life["queued"], life["stored"]), (queue_id, 1, 1))
        self.assertEqual(self.fine("GET", "/trace", query="nobody@example.org", max_age=3600)["items"], [])
        checked = self.fine("GET", "/verify", seconds=1)
        self.assertEqual((checked["next"], checked["flaws"]), (None, []))

    def test_the_newest_events_of_the_log_are_listed(self) -> None:
        for number in range(5):
            self.telemetry.event("refused", ip=f"192.0.2.{number}", reply="550 5.7.1", nothing=None)
        self.telemetry.event("accepted", queue_id="Q1", octets=10)
        items = self.fine("GET", "/log")["items"]
        self.assertEqual(items[0]["fields"], {"queue_id": "Q1", "octets": "10"})
        found = self.fine("GET", "/log", containing="192.0.2.3")["items"]
        self.assertEqual([one["fields"]["ip"] for one in found], ["192.0.2.3"])
        self.assertEqual(len(self.fine("GET", "/log", limit=2)["items"]), 2)

    def test_the_log_has_no_token(self) -> None:
        wrong = self.tokens["operator"][:-4] + "0000"
        self.ask("GET", "/status", token=wrong)
        self.assertNotIn(wrong[-64:], repr(self.fine("GET", "/log")))

    def test_the_status_is_shown(self) -> None:
        self.assertEqual(self.fine("GET", "/status")["hostname"], "mx.example.test")


class LiveTests(ApiCase):
    def test_numbers_come_every_second_while_somebody_watches(self) -> None:
        numbers = self.api.numbers
        stream = numbers.stream()
        got = self.read(stream)
        self.store.clock.pump([1.0] * 3)
        self.assertEqual(len(got), 4)
        self.assertTrue(all(piece.startswith(b"event: numbers\ndata: {") for piece in got))
        self.assertEqual(len(numbers), 1)
        numbers.leave(stream)
        self.assertEqual(len(numbers), 0)
        before = len(got)
        self.store.clock.advance(5)
        self.assertEqual(len(got), before)

    def test_a_watcher_that_does_not_read_is_dropped(self) -> None:
        dropped: list[bool] = []
        numbers = self.api.numbers
        stream = numbers.stream()
        stream.drop = lambda: dropped.append(True)
        self.store.clock.pump([1.0] * 200)
        self.assertEqual(dropped, [True])
        self.assertEqual(len(numbers), 0)

    def test_the_stream_is_an_operation(self) -> None:
        result = self.ask("GET", "/events")
        self.assertEqual(result.content_type, "text/event-stream")
        self.assertIsInstance(result.content, Stream)

    def test_the_number_of_watchers_is_bounded(self) -> None:
        numbers = self.api.numbers
        for _ in range(numbers.MAX_STREAMS):
            numbers.stream()
        self.problem(429, "too-many-watchers", self.ask("GET", "/events"))
        numbers.close()
        self.assertEqual(len(numbers), 0)

    def read(self, stream: Stream) -> list[bytes]:
        got: list[bytes] = []

        async def read() -> None:
            async for piece in stream.pieces():
                got.append(piece)

        _ = Deferred.fromCoroutine(read())
        return got


class WireTests(ApiCase):
    def converse(self, session: str) -> None:
        tap = self.records.begin("smtp", False, session)
        tap.opened("192.0.2.9:4711", "192.0.2.1:25")
        tap.command(b"EHLO client.example", 21)
        tap.reply(b"250 mx.example.test\r\n")
        tap.closed("")

    def test_conversations_are_listed_and_shown(self) -> None:
        for session in ("s-1", "s-2"):
            self.converse(session)
        found = self.fine("GET", "/wire")["items"]
        self.assertEqual([one["id"] for one in found], ["s-2", "s-1"])
        shown = self.fine("GET", "/wire/s-1")
        self.assertIn("EHLO client.example", [event.get("text") for event in shown["events"]])
        self.problem(404, "not-found", self.ask("GET", "/wire/unknown"))

    def test_conversations_are_recorded_while_somebody_watches(self) -> None:
        self.assertFalse(self.records.is_on)
        stream = self.fine("GET", "/wire/events", past=1)
        self.assertTrue(self.records.is_on)
        self.converse("s-3")
        self.store.clock.advance(1)
        got: list[bytes] = []

        async def read() -> None:
            async for piece in stream.pieces():
                got.append(piece)

        _ = Deferred.fromCoroutine(read())
        self.assertTrue(got[0].startswith(b"event: conversation\n"), got)
        self.assertIn(b"event: event\n", got[0])
        stream.close()
        self.assertFalse(self.records.is_on)

    def test_conversations_of_the_past_are_sent_one_by_one(self) -> None:
        """The reactor does something else between them, and waits for a client that reads slowly."""
        for number in range(10):
            self.converse(f"s-{number}")
        self.patch(wire_operations, "_MAX_AHEAD", 3)
        stream = self.api.wire.stream(10)
        waiting = []
        for _ in range(8):
            waiting.append(stream.waiting)
            self.store.clock.advance(0.01)
        self.assertEqual(waiting, [1, *[4] * 7])
        got: list[bytes] = []

        async def read() -> None:
            async for piece in stream.pieces():
                got.append(piece)

        _ = Deferred.fromCoroutine(read())
        self.store.clock.pump([0.1] * 20)
        self.assertEqual([f'"id": "s-{number}"'.encode() in piece for number, piece in enumerate(got)], [True] * 10)
        self.assertIn(b"EHLO", got[-1])
        stream.close()
        self.assertEqual(self.store.clock.getDelayedCalls(), [])


del ApiCase
