"""POP3 in worker processes: what they share with each other and with the daemon, and what their end costs."""

from __future__ import annotations

import errno
import os
import poplib
import signal
import smtplib
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.crash.disk import Disk
from emailsys.control.control_socket import ControlFailed, NoDaemon, ask, connected
from emailsys.control.daemon_requests import Restart
from emailsys.control.requests import Status
from emailsys.supervisor import holder_of
from emailsys.web.api.observation_operations import STATUS
from emailsys.web.api.schema import problems
from tests.live.programs import messages
from tests.live.programs.daemon import PATIENCE, Daemon, User, shared
from tests.live.programs.installed import needs
from tests.live.programs.wire import Wire
from tests.live.server.test_restart import digest_of

_NEEDS_LINUX = None if sys.platform == "linux" else "workers need Linux"


def until(what: Callable[[], Any]) -> Any:
    """Return the first value that counts as true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.02)
    return found


def workers_of(daemon: Daemon) -> Mapping[str, Any]:
    """The workers in the status; none while no daemon answers."""
    try:
        found: Mapping[str, Any] = ask(daemon.state, Status())["result"]["workers"]
    except (NoDaemon, ControlFailed, KeyError):
        return {"serving": []}
    return found or {"serving": []}


def serving(daemon: Daemon, count: int, besides: frozenset[int] = frozenset()) -> set[int]:
    """Wait until that many workers serve that are not among the others; their processes."""

    def found() -> set[int]:
        pids = {worker["pid"] for worker in workers_of(daemon)["serving"]}
        return pids if len(pids) == count and not pids & besides else set()

    pids: set[int] = until(found)
    return pids


def kill(pid: int) -> None:
    """End a process as a lack of memory does."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    os.kill(pid, signal.SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not asked for yet: that may be a lazy init."""
    try:
        # "PID (NAME) STATE …"
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(") ")[2][0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Mail:
    """Clients that send to users and fetch their mail until they are stopped, whatever happens to their connections."""

    def __init__(self, daemon: Daemon, users: list[User]) -> None:
        self._daemon = daemon
        self._stopping = threading.Event()
        #: The digests of messages that were answered with 250, and the unique-ids under which each was seen.
        self.accepted: set[bytes] = set()
        self.seen: defaultdict[bytes, set[bytes]] = defaultdict(set)
        #: Sessions of readers that ended with +OK, and what the others heard.
        self.fetched = 0
        self.heard: list[str] = []
        work = [(one, user) for user in users for one in (self._send, self._read)]
        self._threads = [threading.Thread(target=one, args=(user,)) for one, user in work]
        for thread in self._threads:
            thread.start()

    def _send(self, user: User) -> None:
        sent = 0
        while not self._stopping.wait(0.01):
            try:
                with smtplib.SMTP("127.0.0.1", self._daemon.ports["smtp"], timeout=PATIENCE) as client:
                    sent += 1
                    text = messages.plain("a@example.org", user.address, f"{user.name}-{sent}")
                    client.sendmail("a@example.org", [user.address], text)
                    self.accepted.add(digest_of(text))
            except (OSError, smtplib.SMTPException):
                continue

    def _read(self, user: User) -> None:
        while not self._stopping.wait(0.01):
            try:
                self.fetch(user)
            except (OSError, poplib.error_proto, EOFError) as error:
                self.heard.append(str(error))
            else:
                self.fetched += 1

    def fetch(self, user: User) -> None:
        """Fetch all messages of a user, then delete them."""
        session = poplib.POP3("127.0.0.1", self._daemon.ports["pop3"], timeout=PATIENCE)
        try:
            session.user(user.address)
            session.pass_(user.password)
            uids = [line.split()[1] for line in session.uidl()[1]]
            for number, uid in enumerate(uids, start=1):
                self.seen[digest_of(b"\r\n".join(session.retr(number)[1]))].add(uid)
                session.dele(number)
            session.quit()
        finally:
            session.close()

    def goes_on(self) -> None:
        """Wait until mail was accepted and fetched after this moment."""
        accepted, fetched = len(self.accepted), self.fetched
        until(lambda: len(self.accepted) > accepted + 1 and self.fetched > fetched + 1)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


class ProcessTests(SynchronousTestCase):
    """Processes that end while mail comes and goes."""

    skip = _NEEDS_LINUX

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="emailsys-live-")
        self.addCleanup(folder.cleanup)
        self.daemon = daemon = Daemon(folder=Path(folder.name), environment={"EMAILSYS_WORKERS": "2"})
        self.addCleanup(self.end)
        daemon.start()
        self.users = daemon.users(2)
        self.pids = serving(daemon, 2)
        self.mail = Mail(daemon, self.users)
        self.addCleanup(self.mail.stop)

    def end(self) -> None:
        """End the process that serves now, which is not our child after a restart."""
        if holder := holder_of(self.daemon.state):
            os.kill(holder, signal.SIGTERM)
        until(lambda: holder_of(self.daemon.state) is None)
        self.daemon.wait()

    def check_mail(self) -> None:
        """Nothing is lost, and nothing is doubled."""
        self.mail.stop()
        for user in self.users:
            until(partial(self.fetched, user))
        self.assertEqual(self.mail.accepted - self.mail.seen.keys(), set(), "lost")
        self.assertEqual([uids for uids in self.mail.seen.values() if len(uids) > 1], [], "doubled")

    def fetched(self, user: User) -> bool:
        """Fetch all messages, unless a session whose client has hung up still has the maildrop."""
        try:
            self.mail.fetch(user)
        except poplib.error_proto as error:
            if "IN-USE" not in str(error):
                raise
            return False
        return True

    def test_kill_of_each_process_in_turn_loses_and_doubles_nothing(self) -> None:
        """A worker is started again. Workers whose daemon was killed end, and the next daemon has its own."""
        self.mail.goes_on()
        for pid in self.pids:
            kill(pid)
            until(lambda pid=pid: pid not in {one["pid"] for one in workers_of(self.daemon)["serving"]})  # type: ignore[misc]
            self.mail.goes_on()
        after = serving(self.daemon, 2, frozenset(self.pids))
        self.daemon.kill()
        until(lambda: all(map(has_ended, after)))
        self.daemon.start()
        serving(self.daemon, 2, frozenset(after))
        self.mail.goes_on()
        self.check_mail()
        self.assertNotIn("Traceback", self.daemon.log)

    def test_restart_and_stop_take_the_workers_along(self) -> None:
        """No reader notices a restart. The new process has workers of its own; the former ones end."""
        self.mail.goes_on()
        outcome = ask(self.daemon.state, Restart(), PATIENCE * 2)["result"]
        self.assertIsNone(outcome["problem"], self.daemon.log)
        after = serving(self.daemon, 2, frozenset(self.pids))
        self.mail.goes_on()
        self.assertEqual(self.daemon.wait(), 0)
        self.assertTrue(all(map(has_ended, self.pids)))
        self.check_mail()
        # A client that a busy machine kept silent for a second may be told to come again.
        others = [text for text in self.mail.heard if "shutting down" not in text and "IN-USE" not in text]
        self.assertEqual(others, [])
        self.end()
        self.assertTrue(all(map(has_ended, after)), "they end before the daemon does")
        self.assertNotIn("Traceback", self.daemon.log)


class DoubtTests(SynchronousTestCase):
    """A disk that fails while the log is copied into the database file."""

    skip = _NEEDS_LINUX

    def send(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"], timeout=PATIENCE) as client:
            text = messages.plain("a@example.org", self.user.address, "one")
            client.sendmail("a@example.org", [self.user.address], text)

    def delete(self) -> int:
        """Delete all messages; returns how many there were."""
        with closing(poplib.POP3("127.0.0.1", self.daemon.ports["pop3"], timeout=PATIENCE)) as session:
            session.user(self.user.address)
            session.pass_(self.user.password)
            count, _ = session.stat()
            for number in range(count):
                session.dele(number + 1)
            session.quit()
        return count

    @needs("cc")
    def test_mail_is_taken_again_as_soon_as_the_disk_is_well(self) -> None:
        """Without a restart: the daemon ends the workers, which have the store open, and starts them again."""
        with tempfile.TemporaryDirectory(prefix="emailsys-live-") as name:
            folder = Path(name)
            disk = Disk(folder, folder / "state")
            self.daemon = Daemon("[pop3]\nworkers = 1\n", folder=folder, environment=disk.environment)
            self.daemon.start()
            try:
                self.user = self.daemon.user()
                pids = serving(self.daemon, 1)
                # The process that has changed the store copies the log when it has been idle for two seconds.
                for change in (self.send, self.delete):
                    failed = disk.get("failed")
                    disk.set(suffix="mail.sqlite", sync_errno=errno.EIO, sync_count=-1)
                    change()
                    until(lambda failed=failed: disk.get("failed") > failed)  # type: ignore[misc]
                    until(lambda pids=pids: all(map(has_ended, pids)))  # type: ignore[misc]
                    disk.heal()
                    self.send()
                    pids = serving(self.daemon, 1, frozenset(pids))
                self.assertEqual(self.delete(), 1)
            finally:
                self.daemon.stop()


class SharingTests(SynchronousTestCase):
    """Limits, locks and certificates of two workers and the daemon."""

    skip = _NEEDS_LINUX

    def setUp(self) -> None:
        config = (
            '[pop3]\nworkers = 2\ntakeover_after = "1s"\nmax_connections_per_ip = 4\n'
            "[limits]\nexempt_loopback = false\nmax_failed_logins = 1\n"
        )
        self.daemon = shared(type(self), lambda: Daemon(config))
        self.user = self.daemon.user()
        # Connections of the test before have ended, too.
        until(lambda: self.counts() == [0, 0])

    def counts(self) -> list[int]:
        """The connections of each worker."""
        return [worker["connections"] for worker in workers_of(self.daemon)["serving"]]

    def connected(self, source: str = "127.0.0.1") -> Wire:
        wire = Wire(self.daemon, "pop3", source=source)
        self.addCleanup(wire.sock.close)
        return wire

    def login(self, wire: Wire, password: str = "") -> bytes:
        wire.line()
        wire.say(f"USER {self.user.address}\r\nPASS {password or self.user.password}\r\n".encode())
        wire.line()
        return wire.line()

    def test_a_silent_session_loses_its_maildrop_to_a_login_at_another_worker(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"], timeout=PATIENCE) as client:
            text = messages.plain("a@example.org", self.user.address, "one")
            client.sendmail("a@example.org", [self.user.address], text)
        first = self.connected()
        self.assertTrue(self.login(first).startswith(b"+OK"))
        others: list[Wire] = []

        def taken() -> bool:
            others.append(self.connected())
            reply = self.login(others[-1])
            if reply.startswith(b"-ERR [IN-USE]"):
                others.pop().sock.close()
                # The next one must be given to the other worker again, and the address has a limit.
                until(lambda: sum(self.counts()) <= 1)
            return reply.startswith(b"+OK")

        until(taken)
        first.say(b"RETR 1\r\n")
        self.assertTrue(first.line().startswith(b"-ERR"))
        others[-1].say(b"STAT\r\n")
        self.assertTrue(others[-1].line().startswith(b"+OK 1 "))

    def test_all_processes_count_the_connections_of_an_address_together(self) -> None:
        wires = [self.connected() for _ in range(4)]
        self.assertTrue(all(wire.line().startswith(b"+OK") for wire in wires))
        status = self.daemon.command(Status())
        self.assertEqual(problems(status, STATUS), [], "as the API describes it")
        counts = [worker["connections"] for worker in status["workers"]["serving"]]
        self.assertEqual(counts, [2, 2])
        self.assertIn(b"too many connections from your address", self.connected().line())
        self.assertTrue(self.connected("127.0.0.3").line().startswith(b"+OK"), "another address")

    def test_all_processes_count_failed_logins_together(self) -> None:
        """The right password is refused at the other worker after a wrong one."""
        guess, right = self.connected("127.0.0.2"), self.connected("127.0.0.2")
        self.assertTrue(self.login(guess, "wrong").startswith(b"-ERR"))
        self.assertTrue(self.login(right).startswith(b"-ERR"))
        elsewhere = self.connected()
        self.assertTrue(self.login(elsewhere).startswith(b"+OK"))

    def test_the_daemon_serves_while_workers_cannot_start_and_says_why(self) -> None:
        certificates = self.daemon.state / "certs"
        aside = certificates.rename(certificates.with_name("aside"))
        try:
            for pid in serving(self.daemon, 2):
                kill(pid)
            problem = until(lambda: (found := workers_of(self.daemon).get("problem")) and "certs" in found and found)
            self.assertIn("there is no such certificate file", problem)
            wire = self.connected()
            self.assertTrue(self.login(wire).startswith(b"+OK"))
            wire.sock.close()
        finally:
            aside.rename(certificates)
        serving(self.daemon, 2)
        self.assertIsNone(workers_of(self.daemon)["problem"])

    def test_a_recorded_connection_is_served_by_the_daemon(self) -> None:
        with connected(self.daemon.state, PATIENCE) as watching, watching.makefile("rb") as events:
            watching.sendall(b'{"command": "conversation.watch", "past": 0}\n')
            self.assertIn(b"recording", events.readline())
            wire = self.connected()
            greeting = wire.line()
            self.assertTrue(greeting.startswith(b"+OK"))
            until(lambda: b"pop3" in events.readline())
            wire.sock.close()

    def test_a_connection_that_is_closed_at_once_is_not_counted_for_ever(self) -> None:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", self.daemon.ports["pop3"])).close()
        until(lambda: self.counts() == [0, 0])
        self.assertTrue(self.login(self.connected()).startswith(b"+OK"))
