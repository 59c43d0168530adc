"""What was answered with 250 is on disk: seen by strace, and by kill -9."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import unittest
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs import messages
from tests.live.programs.daemon import PATIENCE, Daemon
from tests.live.programs.installed import needs
from tests.live.programs.tracing import accepted, calls
from tests.live.programs.wire import Wire, smtp
from tests.live.server.test_python_clients import fetched, reader

RECEIVES = 100
MARK = re.compile(r"MARK\d{4}END")


@cache
def may_trace() -> bool:
    """Whether strace is allowed to look at another process here."""
    if shutil.which("strace") is None:
        return True
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, timeout=PATIENCE, check=False)
    return tried.returncode == 0


def receive(wire: Wire, recipient: str, text: bytes) -> bytes:
    """Hand one message over; the reply to its end."""
    assert wire.code(b"MAIL FROM:<a@example.org>") == 250
    assert wire.code(f"RCPT TO:<{recipient}>".encode()) == 250
    assert wire.code(b"DATA") == 354
    return wire.ask(text + b".")


class DurabilityTests(SynchronousTestCase):
    """Each test has a daemon of its own, for it is ended in ways that others would not like."""

    def start(self, *wrapper: str) -> Daemon:
        daemon = Daemon(wrapper=wrapper)
        self.addCleanup(daemon.close)
        return daemon

    def test_kill_9_after_250_loses_nothing(self) -> None:
        """Small and large messages, killed the moment the last reply is in; all are there after a new start."""
        daemon = self.start()
        bob = daemon.user()
        texts = [messages.plain("a@example.org", bob.address, f"n{number}") for number in range(30)]
        texts.append(messages.of_size("a@example.org", bob.address, "large", 3_000_000))
        with smtp(daemon) as wire:
            for text in texts:
                stuffed = text.replace(b"\r\n.", b"\r\n..")
                self.assertEqual(receive(wire, bob.address, stuffed)[:3], b"250")
            daemon.kill()
        daemon.start()
        session = reader(daemon, bob)
        self.assertEqual(session.stat()[0], len(texts))
        for number, text in enumerate(texts, start=1):
            self.assertTrue(messages.as_sent(fetched(session, number), text), f"message {number}")
        session.quit()

    def test_kill_9_in_the_middle_of_a_message_keeps_no_part_of_it(self) -> None:
        """A body of which half was staged is nobody's mail."""
        daemon = self.start()
        bob = daemon.user()
        text = messages.of_size("a@example.org", bob.address, "half", 4_000_000)
        with smtp(daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
            self.assertEqual(wire.code(f"RCPT TO:<{bob.address}>".encode()), 250)
            self.assertEqual(wire.code(b"DATA"), 354)
            wire.say(text[:3_000_000])
            daemon.kill()
        daemon.start()
        with smtp(daemon) as wire:
            self.assertEqual(receive(wire, bob.address, b"Subject: whole\r\n\r\n")[:3], b"250")
        session = reader(daemon, bob)
        self.assertEqual(session.stat()[0], 1)
        self.assertIn(b"Subject: whole", fetched(session))
        session.quit()

    @needs("strace")
    @unittest.skipUnless(may_trace(), "strace may not trace here")
    def test_every_250_to_a_body_comes_after_its_sync(self) -> None:
        """100 receives, one at a time: between a body and its 250 lies an fdatasync of the store that returned 0."""
        trace = Path(self.mktemp()).absolute()
        trace.parent.mkdir(parents=True, exist_ok=True)
        watched = "trace=fsync,fdatasync,sync_file_range,msync,write,writev,sendto,sendmsg,recvfrom,recvmsg,read"
        daemon = self.start("strace", "-f", "-y", "-ttt", "-s", "4096", "-o", str(trace), "-e", watched)
        bob = daemon.user()
        ids = []
        with smtp(daemon) as wire:
            for number in range(RECEIVES):
                reply = receive(wire, bob.address, f"Subject: {number}\r\n\r\nMARK{number:04d}END\r\n".encode())
                self.assertTrue(reply.startswith(b"250 2.0.0 queued as "), reply)
                ids.append(reply.split()[-1].decode())
        # strace ends when the daemon it runs does.
        daemon.end_child()
        daemon.wait()
        early = []
        bodies: list[str] = []
        seen = 0
        synced = False
        with trace.open(errors="replace") as lines:
            for call in calls(lines):
                if call.name in {"recvfrom", "recvmsg", "read"} and (mark := MARK.search(call.text)):
                    bodies.append(mark[0])
                    synced = False
                elif call.name == "sync":
                    synced = synced or str(daemon.state) in call.text
                for queue_id in accepted(call):
                    if not synced or queue_id != ids[seen]:
                        early.append(f"{queue_id} ({bodies[-1]})")
                    seen += 1
        self.assertEqual(early, [])
        self.assertEqual(len(bodies), RECEIVES)
        self.assertEqual(seen, RECEIVES)
        print(f"\nstrace: {seen} of {RECEIVES} replies 250 came after an fdatasync that returned 0")

    def test_the_daemon_starts_again_after_kill_9_without_help(self) -> None:
        """No lock, socket or pid file of the dead one is in its way."""
        daemon = self.start()
        bob = daemon.user()
        for _ in range(2):
            daemon.kill()
            began = time.monotonic()
            daemon.start()
            self.assertLess(time.monotonic() - began, PATIENCE)
        with smtp(daemon) as wire:
            self.assertEqual(receive(wire, bob.address, b"Subject: s\r\n\r\n")[:3], b"250")
