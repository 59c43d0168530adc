"""Two daemons on one PostgreSQL store share the queue: nothing goes out twice, and what one leaves the other sends."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import QueueList, Status
from tests.live.programs.daemon import PATIENCE, Daemon
from tests.live.programs.lab import wait_for
from tests.live.programs.two_nodes import Host, fresh_store, node, submit


def waiting(daemon: Daemon) -> list[dict[str, Any]]:
    """What `emailsys queue list` shows on that node."""
    return list(daemon.command(QueueList(limit=1000)))


def relayed(daemon: Daemon) -> int:
    """How many recipients that node has brought to their host."""
    return int(daemon.command(Status())["counters"].get("relayed", 0))


class TwoNodeTests(SynchronousTestCase):
    """Each node is a process of its own; the store is a real server."""

    def start(self, lease: int) -> None:
        store = fresh_store()
        self.host = Host()
        self.addCleanup(self.host.close)
        self.first = node(store, self.host, lease)
        self.addCleanup(self.first.close)
        self.second = node(store, self.host, lease)
        self.addCleanup(self.second.close)
        self.user = self.first.user()

    def test_both_nodes_send_and_nothing_goes_out_twice(self) -> None:
        self.start(lease=600)
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

    def test_rows_leased_by_a_killed_node_are_sent_by_the_other_after_the_lease(self) -> None:
        """Not before: until then its part stays leased. Twice at most what the host had read to the final dot and not
        answered (RFC 1047); nothing is lost."""
        self.start(lease=30)
        submit(self.first, self.user, range(60))
        wait_for(lambda: self.host.total == 2)
        self.first.kill()
        unanswered = set(self.host.read)
        self.host.answers.set()
        wait_for(lambda: relayed(self.second) and {row["state"] for row in waiting(self.second)} == {"leased"})
        self.assertGreater(len(waiting(self.second)), 1)
        wait_for(lambda: not waiting(self.second), 3 * PATIENCE)
        self.assertEqual(set(self.host.read), set(range(60)))
        self.assertLessEqual({number for number, times in self.host.read.items() if times > 1}, unanswered)
        wait_for(lambda: relayed(self.second) >= 60 - len(unanswered))
