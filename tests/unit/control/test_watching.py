"""Recorded connections on the control socket: lists, single conversations, and the stream to a watcher."""

from __future__ import annotations

import json
import os
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.commands import Commands
from emailsys.control.control_server import ControlFactory, ControlProtocol
from emailsys.control.control_socket import HAS_CONTROL, ControlFailed, NoDaemon, bind_control
from emailsys.control.store_access import Hooks
from emailsys.control.watching import MAX_WAITING, WatchStream, watch
from emailsys.control.wire_requests import WireGet, WireList
from emailsys.telemetry import Telemetry
from emailsys.wiretap.recorder import Recorder
from tests.fakes.store.memory_store import MemoryStore


class Case(SynchronousTestCase):
    """A daemon's recorder and its control socket."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.records = Recorder(10, 64 * 1024, enabled=False)
        self.commands = Commands(MemoryStore(self.clock), Telemetry(), Hooks(wire=self.records))

    def record(self, session: str, words: str = "hello") -> None:
        """A conversation."""
        tap = self.records.begin("smtp", False, session)
        tap.opened("192.0.2.7:40000", "192.0.2.1:25")
        tap.reply(f"220 {words}\r\n".encode())

    def answer(self, request: object) -> Any:
        return self.successResultOf(defer.Deferred.fromCoroutine(self.commands.answer(request)))


class ListTests(Case):
    """Requests with one answer."""

    def test_conversations_are_listed_and_each_is_found(self) -> None:
        self.record("1")
        self.record("2")
        listed = self.answer(WireList(1))["result"]
        self.assertEqual([(one["id"], one["events"]) for one in listed], [("2", [])])
        found = self.answer(WireGet("1"))["result"]
        self.assertEqual([event["kind"] for event in found["events"]], ["opened", "reply"])
        self.assertIsNone(self.answer(WireGet("3"))["result"])

    def test_without_a_daemon_the_request_is_refused(self) -> None:
        commands = Commands(MemoryStore(self.clock), Telemetry())
        for request in ({"command": "conversation.list"}, {"command": "conversation.watch"}):
            answer = self.successResultOf(defer.Deferred.fromCoroutine(commands.answer(request)))
            self.assertIn("running daemon", answer["error"]["message"])


class StreamTests(Case):
    """A watcher in memory."""

    def connect(self) -> tuple[ControlProtocol, StringTransport]:
        begin = partial(WatchStream, self.records, self.clock)
        protocol = ControlFactory(self.commands, Telemetry(), watch=begin).buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def watch(self, past: int = 0) -> tuple[ControlProtocol, StringTransport]:
        """A watcher whose watch has begun."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"command":"conversation.watch","past":%d}\n' % past)
        return protocol, transport

    def heard(self, transport: StringTransport) -> list[dict[str, Any]]:
        """What the watcher has got and not read."""
        self.clock.advance(1)
        lines = [json.loads(line) for line in transport.value().splitlines()]
        transport.clear()
        return lines

    def test_the_past_comes_first_and_then_events_as_they_happen(self) -> None:
        self.record("1")
        _, transport = self.watch(past=5)
        first = self.heard(transport)
        self.assertEqual([sorted(line) for line in first], [["result"], ["conversation"], ["watching"]])
        self.assertEqual(len(first[1]["conversation"]["events"]), 2)
        self.record("2")
        self.assertEqual(
            [line.get("event", {}).get("text") for line in self.heard(transport)],
            [None, "192.0.2.7:40000 connected", "220 hello"],
        )

    def test_recording_ends_with_the_last_watcher(self) -> None:
        protocol, _ = self.watch()
        other, _ = self.watch()
        self.assertTrue(self.records.is_on)
        protocol.connectionLost(Failure(ConnectionError()))
        self.assertTrue(self.records.is_on)
        other.connectionLost(Failure(ConnectionError()))
        self.assertFalse(self.records.is_on)
        # Nothing is left to be sent.
        self.record("1")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_watcher_loses_events_and_is_told_how_many(self) -> None:
        _, transport = self.watch()
        self.heard(transport)
        producer: Any = transport.producer
        producer.pauseProducing()
        for number in range(20_000):
            self.record(str(number), "x" * 100)
        self.assertEqual(self.heard(transport), [])
        producer.resumeProducing()
        got = self.heard(transport)
        (lost,) = [line["lost"] for line in got if "lost" in line]
        self.assertEqual(lost + len(got) - 1, 3 * 20_000)
        self.assertLess(len(json.dumps(got)), 2 * MAX_WAITING)
        self.record("later")
        self.assertEqual(len(self.heard(transport)), 3)

    def test_a_malformed_request_to_watch_is_refused(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"command":"conversation.watch","past":-1}\n{"command":"conversation.list"}\n')
        error, listed = self.heard(transport)
        self.assertIn("past", error["error"]["message"])
        self.assertEqual(listed, {"result": []})


class SocketTests(SynchronousTestCase):
    """The watcher's end, over a real socket."""

    def setUp(self) -> None:
        if not HAS_CONTROL:
            raise SkipTest("no Unix sockets")
        self.folder = Path(self.mktemp()).absolute()
        os.mkdir(self.folder)

    def test_lines_are_yielded_until_the_daemon_ends_the_stream(self) -> None:
        for sent, message in (
            (b'{"result":{"recording":true}}\n{"watching":true}\n', "ended the stream"),
            (b'{"result":{"recording":true}}\n{"watching":true}\nnonsense\n', "not a JSON object"),
            (b'{"error":{"kind":"malformed","message":"no such command"}}\n', "no such command"),
        ):
            listener = bind_control(self.folder)
            listener.setblocking(True)
            thread = threading.Thread(target=self._serve, args=(listener, sent))
            thread.start()
            got = []
            with self.assertRaises(ControlFailed) as caught:
                for line in watch(self.folder, 3):
                    got.append(line)
            thread.join()
            self.assertIn(message, str(caught.exception))
            self.assertEqual(len(got), 0 if b"error" in sent else 2)

    def _serve(self, listener: socket.socket, sent: bytes) -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(sent)

    def test_without_a_daemon_there_is_nothing_to_watch(self) -> None:
        with self.assertRaises(NoDaemon):
            list(watch(self.folder, 0))
