"""Watchers of the live wire: work for each event, order, and readers that are slow."""

from __future__ import annotations

import json
from json import JSONDecoder, JSONEncoder
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces.wiretap import ITap
from emailsys.web.api import wire_watchers
from emailsys.web.api.wire_operations import Wire
from emailsys.web.api.wire_watchers import WireStream
from emailsys.wiretap import recorder
from emailsys.wiretap.conversation import Event
from emailsys.wiretap.recorder import Recorder


class Reader:
    """A watcher, and the pieces that it has read."""

    def __init__(self, stream: WireStream) -> None:
        self.stream = stream
        self.pieces: list[bytes] = []
        #: How many pieces it reads before it waits for `read`; None for all.
        self.most: int | None = None
        self._waiting: Deferred[None] = Deferred()
        _ = Deferred.fromCoroutine(self._read())

    async def _read(self) -> None:
        async for piece in self.stream.pieces():
            self.pieces.append(piece)
            if self.most is not None and len(self.pieces) >= self.most:
                await self._waiting

    def read(self) -> None:
        """Read all that waits, and what comes."""
        self.most = None
        self._waiting.callback(None)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The names and values of the events."""
        blocks = b"".join(self.pieces).decode("ascii").split("\n\n")
        whole = [block.split("\n") for block in blocks if block]
        return [(name[len("event: ") :], json.loads(data[len("data: ") :])) for name, data in whole]

    @property
    def texts(self) -> list[str]:
        """The lines of the conversations, and where others were lost."""
        found = []
        for name, value in self.events:
            if name == "lost":
                found.append(f"{value['lost']} lost")
            elif name == "event":
                found.append(value["event"].get("text", ""))
        return found


class WatcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.records = Recorder(10, 64 * 1024, enabled=False)
        self.wire = Wire(self.records, self.clock)

    def open(self, session: str = "s-1") -> ITap:
        """Begin a conversation."""
        tap = self.records.begin("smtp", False, session)
        tap.opened("192.0.2.9:4711", "192.0.2.1:25")
        return tap

    def reader(self) -> Reader:
        """A new watcher."""
        return Reader(self.wire.stream(0))

    def wait(self) -> None:
        """Let a second pass, in which all watchers get what is gathered, one after the other."""
        self.clock.pump([0.01] * 100)

    def work(self, watchers: int) -> tuple[int, int, set[int]]:
        """Have so many watchers hear some events.

        @return: how often JSON was written, how often it was read, and how many events each watcher got.
        """
        written: list[object] = []
        read: list[object] = []
        encode, decode = JSONEncoder.encode, JSONDecoder.decode

        def encode_and_count(encoder: JSONEncoder, value: object) -> str:
            # The texts of an event are parts of its line, which is counted as one.
            if not isinstance(value, str):
                written.append(value)
            return encode(encoder, value)

        line = recorder.event_line

        def line_and_count(session: str, event: Event) -> bytes:
            written.append(event)
            return line(session, event)

        def decode_and_count(decoder: JSONDecoder, *arguments: Any) -> Any:
            read.append(arguments)
            return decode(decoder, *arguments)

        readers = [self.reader() for _ in range(watchers)]
        patches = (
            self.patch(recorder, "event_line", line_and_count),
            self.patch(JSONEncoder, "encode", encode_and_count),
            self.patch(JSONDecoder, "decode", decode_and_count),
        )
        tap = self.open()
        for _ in range(50):
            tap.command(b"NOOP", 6)
            tap.reply(b"250 OK\r\n")
            self.clock.advance(0.01)
        tap.closed("")
        self.wait()
        for patch in patches:
            patch.restore()
        self.wire.close()
        return len(written), len(read), {len(reader.events) for reader in readers}

    def test_the_work_for_an_event_does_not_grow_with_the_watchers(self) -> None:
        # A conversation, its 102 events, each written as JSON once, and never read again.
        self.assertEqual([self.work(watchers) for watchers in (1, 5, 20)], [(103, 0, {103})] * 3)

    def test_watchers_share_the_octets_and_get_them_ten_times_a_second(self) -> None:
        readers = [self.reader() for _ in range(20)]
        tap = self.open()
        for number in range(100):
            tap.reply(b"250 %d\r\n" % number)
            self.clock.advance(0.01)
        self.wait()
        first = readers[0]
        self.assertLessEqual(len(first.pieces), 11)
        self.assertEqual(first.texts[1:], [f"250 {number}" for number in range(100)])
        for reader in readers[1:]:
            self.assertTrue(all(one is other for one, other in zip(first.pieces, reader.pieces, strict=True)))

    def test_watchers_get_their_octets_one_after_the_other(self) -> None:
        """Mail that arrives meanwhile waits for the write to one of them, not to all."""
        readers = [self.reader() for _ in range(4)]
        self.open()
        self.clock.advance(0.1)
        counts = []
        for _ in range(5):
            counts.append(sum(bool(reader.pieces) for reader in readers))
            self.clock.advance(0.021)
        self.assertEqual(counts, [1, 2, 3, 4, 4])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_waits_for_one_watcher_comes_before_what_is_newer(self) -> None:
        """A burst does not wait for the watchers before it."""
        readers = [self.reader() for _ in range(4)]
        tap = self.open()
        self.clock.advance(0.1)
        for number in range(3000):
            tap.reply(b"250 %d\r\n" % number)
        self.clock.advance(0)
        self.assertTrue(all(reader.pieces for reader in readers))
        self.wait()
        self.assertEqual({tuple(reader.texts) for reader in readers}, {tuple(readers[0].texts)})
        self.assertEqual(readers[0].texts[1:], [f"250 {number}" for number in range(3000)])

    def test_many_events_at_once_are_sent_at_once(self) -> None:
        """What is gathered is bounded."""
        reader = self.reader()
        tap = self.open()
        for _ in range(3000):
            tap.reply(b"250 OK\r\n")
        self.assertEqual(reader.pieces, [])
        self.clock.advance(0)
        self.assertEqual(len(reader.texts), 3001)

    def test_a_watcher_who_joins_gets_what_is_open_and_then_only_new_events(self) -> None:
        first = self.reader()
        self.open("s-0").closed("")
        tap = self.open()
        tap.reply(b"220 before\r\n")
        second = self.reader()
        tap.reply(b"250 after\r\n")
        self.wait()
        self.assertEqual(first.texts[-2:], ["220 before", "250 after"])
        ((name, value), *_) = second.events
        self.assertEqual((name, value["conversation"]["id"]), ("conversation", "s-1"))
        self.assertEqual(second.texts, ["250 after"])

    def test_a_conversation_of_the_past_has_no_event_that_comes_again(self) -> None:
        self.reader()
        tap = self.open()
        tap.reply(b"220 before\r\n")
        reader = self.reader()
        # It is gathered for this watcher, too, when the conversation is sent.
        tap.reply(b"250 between\r\n")
        self.wire._send_past(reader.stream, ["s-1"])
        tap.reply(b"250 after\r\n")
        self.wait()
        names = [name for name, _ in reader.events]
        self.assertEqual(names, ["conversation", "event", "conversation", "event"])
        whole = reader.events[2][1]["conversation"]["events"]
        self.assertEqual([event["text"] for event in whole[1:]], ["220 before", "250 between"])
        self.assertEqual(reader.texts, ["250 between", "250 after"])

    def test_a_slow_reader_loses_events_and_is_told_how_many(self) -> None:
        self.patch(wire_watchers, "_MAX_WAITING", 2000)
        reader, fast = self.reader(), self.reader()
        reader.most = 1
        tap = self.open()
        for number in range(100):
            tap.reply(b"250 %d\r\n" % number)
            self.clock.advance(0.1)
        self.assertTrue(reader.stream.is_behind)
        self.assertLess(reader.stream.waiting, 30)
        reader.read()
        self.assertFalse(reader.stream.is_behind)
        tap.reply(b"250 later\r\n")
        self.wait()
        (at,) = [index for index, text in enumerate(reader.texts) if text.endswith(" lost")]
        lost = int(reader.texts[at].split()[0])
        self.assertEqual(reader.texts[:at] + reader.texts[at + 1 :], fast.texts[:at] + fast.texts[at + lost :])
        self.assertEqual((reader.texts[-1], len(fast.texts)), ("250 later", 102))

    def test_what_nobody_watches_costs_nothing(self) -> None:
        reader = self.reader()
        self.open()
        self.assertTrue(self.records.is_on)
        reader.stream.close()
        reader.stream.close()
        self.assertFalse(self.records.is_on)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.open("s-2")
        self.assertEqual(self.clock.getDelayedCalls(), [])
