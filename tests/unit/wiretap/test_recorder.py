"""The recorder: its limits of memory, and its watchers."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.interfaces.wiretap import ITap, IWiretap
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind
from emailsys.wiretap.recorder import Recorder, event_line
from emailsys.wiretap.recording import MIN_OCTETS
from emailsys.wiretap.tap import Tap


class Ticks:
    """A clock that advances by a second with each look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def recorder(conversations: int = 10, octets: int = 64 * 1024, **options: Any) -> Recorder:
    """A recorder with clocks of its own."""
    return Recorder(conversations, octets, clock=Ticks(), now=lambda: 1_800_000_000.0, **options)


def found(records: Recorder, session: str) -> Conversation:
    """The conversation as an operator gets it."""
    one = records.conversation(session)
    assert one is not None
    return Conversation.from_json(one)


def texts(records: Recorder, session: str) -> list[str]:
    """The texts of its events."""
    return [event.text for event in found(records, session).events]


class RecorderTests(SynchronousTestCase):
    """A recorder without connections."""

    def test_it_provides_its_interfaces(self) -> None:
        records = recorder()
        verifyObject(IWiretap, records)
        verifyObject(IWireRecords, records)
        verifyObject(ITap, records.begin("smtp", False))

    def test_a_conversation_has_times_directions_and_sizes(self) -> None:
        records = recorder()
        tap = records.begin("smtp", False, "s-1")
        tap.opened("192.0.2.7:40000", "192.0.2.1:25")
        tap.reply(b"220 mx ready\r\n")
        tap.command(b"EHLO client", 13)
        tap.reply(b"250-mx\r\n250 SI")
        tap.reply(b"ZE\r\n")
        tap.closed("closed by the peer")
        one = found(records, "s-1")
        self.assertEqual((one.peer, one.local), ("192.0.2.7:40000", "192.0.2.1:25"))
        self.assertEqual((one.opened, one.closed), (1_800_000_000.0, True))

        self.assertEqual(
            [(event.kind, event.text, event.direction, event.octets) for event in one.events],
            [
                (Kind.OPENED, "192.0.2.7:40000 connected", None, 0),
                (Kind.REPLY, "220 mx ready", Direction.OUT, 14),
                (Kind.COMMAND, "EHLO client", Direction.IN, 13),
                (Kind.REPLY, "250-mx", Direction.OUT, 8),
                (Kind.REPLY, "250 SIZE", Direction.OUT, 10),
                (Kind.CLOSED, "closed by the peer", None, 0),
            ],
        )
        self.assertEqual([event.at for event in one.events], [1, 2, 3, 4, 5, 6])

    def test_nothing_follows_the_end(self) -> None:
        records = recorder()
        tap = records.begin("smtp", False, "s-1")
        tap.closed("closed by the peer")
        tap.reply(b"421 late\r\n")
        self.assertEqual(texts(records, "s-1"), ["closed by the peer"])

    def test_bodies_are_counted_and_not_kept(self) -> None:
        for keep, text in ((False, ""), (True, "Subject: x\\r\\n")):
            records = recorder(keep_bodies=keep)
            tap = records.begin("smtp", False, "s-1")
            tap.body(b"Subject: ")
            tap.body(b"x\r\n.\r\nQUIT")
            tap.body_ended_before(7)
            tap.command(b"QUIT", 6)
            body = found(records, "s-1").events[0]
            self.assertEqual((body.kind, body.octets, body.text), (Kind.BODY, 12, text))

    def test_a_message_of_pop3_is_counted_however_it_is_cut(self) -> None:
        stream = b"+OK 8 octets\r\nSubject\r\n\r\n..x\r\n.\r\n+OK bye\r\n"
        for size in range(1, len(stream)):
            records = recorder()
            tap = records.begin("pop3", True, "s-1")
            tap.reply(b"+OK ready\r\n")
            tap.command(b"RETR 1", 8)
            tap.command(b"QUIT", 6)
            for start in range(0, len(stream), size):
                tap.reply(stream[start : start + size])
            events = found(records, "s-1").events[3:]
            self.assertEqual(
                [(event.kind, event.octets) for event in events], [(Kind.REPLY, 14), (Kind.BODY, 19), (Kind.REPLY, 9)]
            )

    def test_after_a_login_in_several_steps_a_message_is_no_list(self) -> None:
        """AUTH alone asks for the list of mechanisms; the last response of an exchange does not."""
        for as_client, refusal in ((False, "-ERR no secret"), (True, "-ERR [masked]")):
            records = recorder()
            tap = records.begin("pop3", as_client, "s-1")
            tap.reply(b"+OK ready\r\n")
            tap.command(b"AUTH PLAIN", 12)
            for reply in (b"-ERR no secret\r\n", b"+OK in\r\n"):
                tap.reply(b"+ \r\n")
                tap.command(b"AGIAYw==", 10, True)
                tap.reply(reply)
                tap.command(b"AUTH PLAIN" if reply[:1] == b"-" else b"RETR 1", 12)
            tap.reply(b"+OK 20 octets\r\nprivate text\r\n.\r\n")
            tap.command(b"QUIT", 6)
            found_texts = texts(records, "s-1")
            self.assertIn(refusal, found_texts)
            self.assertNotIn("private text", found_texts)
            self.assertIn("QUIT", found_texts)

    def test_a_long_listing_is_cut(self) -> None:
        records = recorder()
        tap = records.begin("pop3", True, "s-1")
        tap.reply(b"+OK ready\r\n")
        tap.command(b"LIST", 6)
        lines = b"".join(b"%d 100\r\n" % number for number in range(1, 1001))
        tap.reply(b"+OK\r\n" + lines + b".\r\n")
        one = found(records, "s-1")
        self.assertEqual([event.text for event in one.events[-2:]], ["[900 more lines]", "."])
        self.assertEqual(one.octets(Direction.IN), len(b"+OK ready\r\n+OK\r\n.\r\n") + len(lines))


class LimitTests(SynchronousTestCase):
    """How much is kept."""

    def test_the_oldest_conversation_that_is_over_goes_first(self) -> None:
        records = recorder(conversations=2)
        first, second = records.begin("smtp", False, "1"), records.begin("smtp", False, "2")
        second.closed("over")
        records.begin("smtp", False, "3")
        self.assertEqual([one["id"] for one in records.conversations(10)], ["1", "3"])
        records.begin("smtp", False, "4")
        self.assertEqual([one["id"] for one in records.conversations(10)], ["3", "4"])
        first.verdict("still connected")
        self.assertIsNone(records.conversation("1"))

    def test_beginning_and_newest_events_stay(self) -> None:
        records = recorder(octets=MIN_OCTETS)
        tap = records.begin("smtp", False, "1")
        for number in range(1000):
            tap.reply(b"250 %d\r\n" % number)
        one = found(records, "1")
        self.assertEqual(one.events[0].text, "250 0")
        self.assertEqual(one.events[-1].text, "250 999")
        self.assertEqual(one.dropped + len(one.events), 1000)

    def test_memory_is_bounded_by_the_two_limits(self) -> None:
        """N conversations of M octets, whatever the peers send: short lines, long lines, Unicode, details, bodies."""
        conversations, octets = 8, 32 * 1024

        def fill(tap: Tap, rounds: int) -> None:
            for number in range(rounds):
                tap.reply(b"250 %d\r\n" % number)
                tap.reply(b"250 " + b"x" * 3000 + b"\r\n")
                tap.reply(("250 " + "\N{PILE OF POO}" * 300 + "\r\n").encode())
                tap.told("refused", {"reply": "550 5.1.1", "sender": "x" * 5000, "recipient": f"{number}@example.org"})
                tap.committed("on disk", queue_id=f"Q{number}", octets=number, recipients=1)
                tap.body(b"x" * 100_000)
                tap.command(b"x" * 12_000, 12_002)
            # A line without an end.
            tap.reply(b"y" * 100_000)

        records = recorder(conversations, octets, keep_bodies=True)
        # What is allocated once: compiled expressions, caches.
        fill(records.begin("smtp", False, "warm"), 3)
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        taps = [records.begin("smtp", False, str(number)) for number in range(3 * conversations)]
        for tap in taps:
            fill(tap, 40)
        del taps, tap
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, conversations * octets)
        self.assertEqual(len(records.conversations(100)), conversations)


class WatcherTests(SynchronousTestCase):
    """Those who hear events as they happen."""

    def test_recording_is_on_while_somebody_watches(self) -> None:
        records = recorder(enabled=False)
        self.assertFalse(records.is_on)
        end, other = records.watch(lambda line: None, 0), records.watch(lambda line: None, 0)
        self.assertTrue(records.is_on)
        end()
        end()
        self.assertTrue(records.is_on)
        other()
        self.assertFalse(records.is_on)
        always = recorder()
        always.watch(lambda line: None, 0)()
        self.assertTrue(always.is_on)

    def test_the_line_of_an_event_is_its_json(self) -> None:
        """Whatever a peer sends, and however short the time was."""
        hostile = '"\\\n\x00\x1b]\u202e\ud800\U0001f40d</script>'
        for event in (
            Event(0.0, Kind.OPENED),
            Event(0.000001, Kind.COMMAND, hostile, Direction.IN, 12),
            Event(123456.7891234, Kind.SECURED, "TLS", details={"version": hostile, "sizes": [1, 2.5, None, True]}),
            Event(1e9, Kind.REPLY, "250 ok", Direction.OUT, 8, {"tampered": {"was": "x"}}),
        ):
            expected = json.dumps({"session": hostile, "event": event.to_json()}, separators=(",", ":"))
            self.assertEqual(event_line(hostile, event), expected.encode("ascii"))

    def test_a_watcher_hears_past_conversations_and_then_events(self) -> None:
        records = recorder()
        old = records.begin("smtp", False, "1")
        old.opened("192.0.2.7:1", "192.0.2.1:25")
        heard: list[Any] = []
        end = records.watch(lambda line: heard.append(json.loads(line)), 5)
        tap = records.begin("pop3", False, "2")
        tap.opened("192.0.2.8:1", "192.0.2.1:110")
        old.closed("closed by the peer")
        end()
        tap.closed("closed by the peer")
        self.assertEqual(
            [(line.get("session"), line.get("event", {}).get("kind")) for line in heard],
            [(None, None), (None, None), ("2", "opened"), ("1", "closed")],
        )
        self.assertEqual([len(line["conversation"]["events"]) for line in heard[:2]], [1, 0])
        self.assertEqual(heard[1]["conversation"]["peer"], "192.0.2.8:1")

    def test_a_connection_that_was_never_made_is_announced_at_its_end(self) -> None:
        records = recorder()
        heard: list[Any] = []
        records.watch(lambda line: heard.append(json.loads(line)), 0)
        records.begin("smtp", True, "1").closed("no connection")
        self.assertEqual([sorted(line) for line in heard], [["conversation"], ["event", "session"]])
