"""Two daemons on one PostgreSQL store share the queue: nothing goes out twice, and what one leaves the other sends."""

from __future__ import annotations

import poplib
import smtplib
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import QueueList, Status
from tests.live.programs import messages
from tests.live.programs.daemon import PATIENCE, Daemon
from tests.live.programs.installed import needs
from tests.live.programs.lab import wait_for
from tests.live.programs.two_nodes import Host, clock_ahead, cut_lock_connections, fresh_store, knows, node, submit
from tests.live.programs.wire import Wire


def waiting(daemon: Daemon) -> list[dict[str, Any]]:
    """What `emailsys queue list` shows on that node."""
    return list(daemon.command(QueueList(limit=1000)))


def relayed(daemon: Daemon) -> int:
    """How many recipients that node has brought to their host."""
    return int(daemon.command(Status())["counters"].get("relayed", 0))


class TwoNodeTests(SynchronousTestCase):
    """Each node is a process of its own; the store is a real server."""

    def start(self, ahead: int = 0, limits: str = "") -> None:
        """Start both. A lease lasts as long as its node, and ten minutes more than any test waits."""
        folder = tempfile.TemporaryDirectory(prefix="emailsys-live-")
        self.addCleanup(folder.cleanup)
        self.database = fresh_store()
        self.host = Host()
        self.addCleanup(self.host.close)
        self.first = node(self.database, self.host, 600, limits=limits)
        self.addCleanup(self.first.close)
        clock = clock_ahead(ahead, Path(folder.name)) if ahead else None
        self.second = node(self.database, self.host, 600, clock, limits)
        self.addCleanup(self.second.close)
        self.user = self.first.user()
        wait_for(lambda: knows(self.second, self.user))

    def test_both_nodes_send_and_nothing_goes_out_twice(self) -> None:
        self.start()
        submit(self.first, self.user, range(100))
        submit(self.second, self.user, range(100, 200))
        # A host that has not answered yet gets one message from each node: both have leased their part.
        wait_for(lambda: self.host.total == 2)
        self.host.answers.set()
        wait_for(lambda: not waiting(self.first))
        self.assertEqual(self.host.read, Counter(range(200)))
        # A node counts after the commit that the queue has shown.
        shares = wait_for(lambda: found if sum(found := [relayed(self.first), relayed(self.second)]) >= 200 else None)
        self.assertEqual(sum(shares), 200)
        self.assertGreater(min(shares), 0)

    def test_a_login_takes_over_a_silent_session_and_both_nodes_count_failed_logins(self) -> None:
        """The deletes of the silent session are void, and its next command gets an error."""
        self.start(limits="exempt_loopback = false\nmax_failed_logins = 2\n")
        with smtplib.SMTP("127.0.0.1", self.first.ports["smtp"], timeout=PATIENCE) as client:
            text = messages.plain("a@example.org", self.user.address, "one")
            client.sendmail("a@example.org", [self.user.address], text)
        silent = self.login(self.first)
        assert silent is not None
        silent.dele(1)
        other = wait_for(lambda: self.login(self.second))
        with self.assertRaises(poplib.error_proto):
            silent.quit()
        self.assertEqual(other.stat()[0], 1)
        other.quit()

        # Failed logins on one node count on the other. A maildrop is opened by the connection that tells and hears.
        for password in ("wrong-one", "wrong-two"):
            self.assertTrue(self.answer(self.first, "127.0.0.9", password).startswith(b"-ERR [AUTH]"))
        for daemon in (self.first, self.second):
            wait_for(partial(self.login, daemon)).quit()
        self.assertTrue(self.answer(self.second, "127.0.0.9", self.user.password).startswith(b"-ERR"))
        self.assertTrue(self.answer(self.second, "127.0.0.8", self.user.password).startswith(b"+OK"))

    def answer(self, daemon: Daemon, source: str, password: str) -> bytes:
        """The answer of that node to a login from an address."""
        wire = Wire(daemon, "pop3", source=source)
        self.addCleanup(wire.sock.close)
        wire.line()
        wire.say(f"USER {self.user.address}\r\nPASS {password}\r\n".encode())
        wire.line()
        return wire.line()

    def login(self, daemon: Daemon) -> poplib.POP3 | None:
        """A session on that node, or None if the maildrop is in use."""
        session = poplib.POP3("127.0.0.1", daemon.ports["pop3"], timeout=PATIENCE)
        self.addCleanup(session.close)
        try:
            session.user(self.user.address)
            session.pass_(self.user.password)
        except poplib.error_proto as error:
            self.assertIn("[IN-USE]", str(error))
            return None
        return session

    @needs("cc")
    def test_nothing_goes_out_twice_by_clocks_that_differ_or_by_a_lost_lock_connection(self) -> None:
        """One clock is five hours ahead. Then both lose their locks for a moment, while they send."""
        self.start(ahead=5 * 3600)
        submit(self.first, self.user, range(20))
        submit(self.second, self.user, range(20, 40))
        wait_for(lambda: self.host.total == 2)
        self.host.answers.set()
        wait_for(lambda: not waiting(self.first), 3 * PATIENCE)
        self.assertEqual(self.host.read, Counter(range(40)))

        self.host.answers.clear()
        submit(self.first, self.user, range(40, 55))
        submit(self.second, self.user, range(55, 70))
        wait_for(lambda: self.host.total >= 42)
        unanswered = set(self.host.read) - set(range(40))
        self.assertGreaterEqual(cut_lock_connections(self.database), 2)
        self.host.answers.set()
        wait_for(lambda: not waiting(self.first), 3 * PATIENCE)
        self.assertEqual(set(self.host.read), set(range(70)))
        # If this machine is so busy that a node does not notice the cut for some seconds, the other takes over.
        self.assertLessEqual({number for number, times in self.host.read.items() if times > 1}, unanswered)

    def test_rows_leased_by_a_killed_node_are_sent_by_the_other_within_seconds(self) -> None:
        """Not after ten minutes, when the leases would end. Nothing is lost. A message may arrive twice only if the
        host had read its final dot and not answered (RFC 1047)."""
        self.start()
        submit(self.first, self.user, range(60))
        wait_for(lambda: self.host.total == 2)
        leased = [row for row in waiting(self.first) if row["state"] == "leased"]
        self.assertGreater(len(leased), 2)
        self.first.kill()
        unanswered = set(self.host.read)
        self.host.answers.set()
        wait_for(lambda: not waiting(self.second), 3 * PATIENCE)
        self.assertEqual(set(self.host.read), set(range(60)))
        self.assertLessEqual({number for number, times in self.host.read.items() if times > 1}, unanswered)
        self.assertIn("leases-returned", self.second.log)
        wait_for(lambda: relayed(self.second) >= 60 - len(unanswered))
