"""The wire in a browser: a conversation that is drawn while it happens, and the steps of a message that lead to it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces.operators import EventKind
from emailsys.interfaces.operators.wire import TracedStep
from emailsys.telemetry import Telemetry
from emailsys.web.api.live import Stream
from emailsys.web.api.problem import Problem
from emailsys.web.system.live_conversations import LiveConversations
from emailsys.wiretap.recorder import Recorder
from tests.fakes.net.web_house import ALICE, BOB, HOST, WebHouse
from tests.unit.web.mail import PNG, logged_in, put, with_parts


class LiveConversationTests(SynchronousTestCase):
    """Drawings of a conversation that goes on, with the drawing itself replaced by the number of its events."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.records = Recorder(10, 64 * 1024, enabled=True)
        self.drawn = 0
        self.live = LiveConversations(self.records, self.clock, self.draw, Telemetry())
        self.tap = self.records.begin("smtp", False, 's-"1')
        self.tap.opened("192.0.2.9:4711", "192.0.2.1:25")
        self.other = self.records.begin("smtp", False, 's-"12')
        self.other.opened("192.0.2.9:4712", "192.0.2.1:25")

    async def draw(self, found: Any) -> str:
        self.drawn += 1
        return str(len(found["events"]))

    def watch(self, session: str = 's-"1') -> tuple[Stream, list[dict[str, Any]]]:
        """A browser that reads at once, and what it got."""
        stream, got = self.live.stream(session), list[dict[str, Any]]()

        async def read() -> None:
            async for piece in stream.pieces():
                got.append(json.loads(piece.partition(b"data: ")[2]))

        _ = Deferred.fromCoroutine(read())
        self.clock.advance(0)
        return stream, got

    def test_it_is_drawn_at_once_and_after_each_change(self) -> None:
        """Not for what happens in other conversations, and not again when nothing happens."""
        _, got = self.watch()
        self.assertEqual(got, [{"html": "1", "over": False}])
        self.other.command(b"NOOP", 6)
        self.clock.pump([0.1] * 10)
        self.assertEqual(len(got), 1)
        self.tap.command(b"EHLO x", 8)
        self.clock.pump([0.1] * 3)
        self.assertEqual(got[-1], {"html": "2", "over": False})
        self.tap.closed("")
        self.clock.pump([0.1] * 3)
        self.assertEqual(got[-1], {"html": "3", "over": True})
        self.assertEqual(len(got), 3)

    def test_many_events_and_many_browsers_are_one_drawing(self) -> None:
        all_got = [self.watch()[1] for _ in range(20)]
        self.clock.advance(1)
        self.drawn = 0
        for number in range(100):
            self.tap.command(b"NOOP %d" % number, 8)
        self.clock.advance(0.2)
        self.assertEqual(self.drawn, 1)
        self.assertEqual({got[-1]["html"] for got in all_got}, {"101"})

    def test_events_during_a_drawing_are_drawn_later(self) -> None:
        """A drawing that takes long is followed by a longer pause, so that this host has time for mail."""
        waiting: list[Deferred[None]] = []

        async def slow(found: Any) -> str:
            waiting.append(Deferred())
            await waiting[-1]
            return str(len(found["events"]))

        self.live = LiveConversations(self.records, self.clock, slow, Telemetry())
        _, got = self.watch()
        self.tap.command(b"NOOP", 6)
        self.clock.advance(1)
        self.assertEqual((len(waiting), got), (1, []))
        waiting[0].callback(None)
        self.assertEqual(got[-1]["html"], "1")
        self.clock.advance(5)
        self.assertEqual(len(waiting), 1)
        self.clock.advance(5)
        waiting[1].callback(None)
        self.assertEqual(got[-1]["html"], "2")

    def test_recording_ends_with_the_last_browser(self) -> None:
        self.records = Recorder(10, 64 * 1024, enabled=False)
        self.live = LiveConversations(self.records, self.clock, self.draw, Telemetry())
        streams = [self.watch(session)[0] for session in ("a", "a", "b")]
        self.assertTrue(self.records.is_on)
        for stream in streams:
            stream.close()
        self.assertEqual((self.records.is_on, len(self.live), self.clock.getDelayedCalls()), (False, 0, []))

    def test_one_that_is_no_longer_kept_ends(self) -> None:
        self.assertEqual(self.watch("unknown")[1], [{"html": None, "over": True}])

    def test_too_many_browsers_are_refused(self) -> None:
        streams = [self.live.stream('s-"1') for _ in range(50)]
        self.assertRaises(Problem, self.live.stream, 's-"1')
        streams[0].close()
        self.live.stream('s-"1')
        self.successResultOf(Deferred.fromCoroutine(self.live.close()))
        self.assertEqual((len(self.live), self.clock.getDelayedCalls()), (0, []))

    def test_a_drawing_that_fails_is_logged_and_the_next_one_is_sent(self) -> None:
        telemetry = Telemetry()

        async def fails_once(found: Any) -> str:
            self.drawn += 1
            if self.drawn == 1:
                raise ValueError("x")
            return "drawn"

        self.live = LiveConversations(self.records, self.clock, fails_once, telemetry)
        _, got = self.watch()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.tap.command(b"NOOP", 6)
        self.clock.advance(1)
        self.assertEqual(got[-1]["html"], "drawn")


class WirePageTests(SynchronousTestCase):
    """The pages, without a socket."""

    def setUp(self) -> None:
        self.house = WebHouse()
        self.browser = logged_in(self.house)
        self.tap: Any = self.house.records.begin("smtp", False, "s 1?")
        self.tap.opened("192.0.2.9:4711", "192.0.2.1:25")

    def operate(self) -> None:
        """Log in as an operator."""
        self.browser.get(self.house.web.operators.make_link())

    def test_a_conversation_that_goes_on_is_streamed_until_its_end(self) -> None:
        self.operate()
        page = self.browser.get("/system/wire/s%201%3F")
        self.assertIn('data-events="/system/wire/s%201%3F/events"', page.text)
        self.assertIn("<svg", page.text)
        channel, transport = self.house.connect()
        cookies = "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())
        head = f"GET /system/wire/s%201%3F/events HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n\r\n"
        channel.dataReceived(head.encode())
        self.tap.reply(b"250 <b>bold\r\n")
        self.house.clock.pump([0.1] * 10)
        got = transport.value()
        self.assertIn(b"event: drawn", got)
        self.assertIn(b"250 &lt;b&gt;bold", got)
        channel.connectionLost(Failure(ConnectionError()))
        self.assertFalse(self.house.records.is_on)
        self.tap.closed("")
        self.assertIn('data-events=""', self.browser.get("/system/wire/s%201%3F").text)
        self.assertEqual(self.browser.get("/system/wire/unknown/events").code, 404)

    def test_the_steps_of_a_message_lead_to_their_conversations(self) -> None:
        """For operators only: a conversation names all recipients."""
        self.house.house.submit(BOB, ALICE)
        path = re.findall(r"/mail/0/U\d+/", self.browser.get("/mail/0/").text)[0]
        queue_id = re.findall(r"emailsys trace (\w+)", self.browser.get(f"{path}journey").text)[0]
        traced = self.successResultOf(Deferred.fromCoroutine(self.house.house.store.trace.search(queue_id, 1)))
        session = (traced.lives[0].client or {})["session"]
        now = self.house.house.store.now().timestamp()
        self.house.records._now = lambda: now
        self.house.records.begin("submission", False, session).opened("192.0.2.9:4711", "192.0.2.1:587")
        link = f'href="/system/wire/{session}"'
        journey = self.browser.get(f"{path}journey").text
        self.assertNotIn(link, journey)
        self.assertIn(f'href="/system/trace?query={queue_id}"', journey)
        self.operate()
        self.assertEqual(self.browser.get(f"{path}journey").text.count(link), 2)
        self.assertGreaterEqual(self.browser.get(f"/system/trace?query={queue_id}").text.count(link), 2)

    def test_the_structure_is_drawn(self) -> None:
        """The tree for wide and for narrow windows, with the link from the HTML to its picture."""
        octets = with_parts(
            ("Content-Type: text/html", b"<img src=cid:logo>"),
            ("Content-Type: image/png\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64", PNG),
        )
        page = self.browser.get(f"/mail/0/{put(self.house, octets)}/structure").text
        self.assertEqual(page.count('aria-label="The MIME tree.'), 2)
        self.assertEqual(page.count('class="arc"'), 2)
        style = re.findall(r'href="(/static/[^"]*exported.css)"', page)
        self.assertTrue(self.browser.get(style[0]).text.startswith(".exported {\n"))


class SessionTests(SynchronousTestCase):
    """What the recorder answers for the steps of a message."""

    def test_a_step_without_a_recorded_conversation_has_none(self) -> None:
        at = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
        records = Recorder(10, 64 * 1024, now=lambda: at)
        records.begin("smtp", False, "s-1").opened("192.0.2.9:4711", "192.0.2.1:25")
        fetched = records.begin("pop3", False, "p-1")
        fetched.opened("192.0.2.9:4712", "192.0.2.1:110")
        fetched.handled("sent", uid="u-7")
        kinds = (
            (EventKind.ACCEPTED, "s-1"),
            (EventKind.STORED, ""),
            (EventKind.FETCHED, ""),
            (EventKind.NOTICE, "s-1"),
        )
        steps = [TracedStep(kind, at, "q", session, uid="u-7") for kind, session in kinds]
        self.assertEqual(records.sessions_of(steps), ["s-1", "", "p-1", ""])
        late = TracedStep(EventKind.FETCHED, at + 60, "q", uid="u-7")
        self.assertEqual((records.sessions_of([late]), records.sessions_of([])), ([""], []))
