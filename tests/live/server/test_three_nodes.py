"""Three nodes on one PostgreSQL store behind a TCP balancer: one dies under load, the others serve its clients."""

from __future__ import annotations

import poplib
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import Status
from tests.live.programs.daemon import PATIENCE, Daemon, User
from tests.live.programs.installed import needs
from tests.live.programs.lab import wait_for
from tests.live.programs.two_nodes import fresh_store
from tests.live.server.test_restart import Load, digest_of
from tests.ports import free_ports

_SEARCHED = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
HAPROXY = shutil.which("haproxy", path=_SEARCHED)
_SERVICES = ("smtp", "pop3")
# A connection that a node refuses goes to the next one. Nodes that died are found by connecting to them.
_CONFIG = """defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  option redispatch 1
  retries 5
"""


class Balancer:
    """HAProxy before the nodes: each connection goes to the next one."""

    def __init__(self, folder: Path, nodes: list[Daemon]) -> None:
        assert HAPROXY is not None
        self.ports = dict(zip(_SERVICES, free_ports(len(_SERVICES)), strict=True))
        text = _CONFIG
        for service, port in self.ports.items():
            text += f"listen {service}\n  bind 127.0.0.1:{port}\n"
            for number, node in enumerate(nodes):
                text += f"  server node{number} 127.0.0.1:{node.ports[service]} check inter 1s\n"
        config = folder / "haproxy.cfg"
        config.write_text(text)
        self._process = subprocess.Popen([HAPROXY, "-db", "-q", "-f", str(config)], stdin=subprocess.DEVNULL)
        for port in self.ports.values():
            wait_for(partial(self._listens, port))

    def _listens(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)


def received(node: Daemon) -> int:
    """How many messages that node has accepted."""
    return int(node.command(Status())["counters"].get("accepted", 0))


class ThreeNodeTests(SynchronousTestCase):
    def login(self, port: int, user: User) -> poplib.POP3:
        session = poplib.POP3("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(session.close)
        session.user(user.address)
        session.pass_(user.password)
        return session

    @needs("haproxy")
    def test_a_node_that_dies_loses_nothing_and_the_others_serve_its_clients(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="emailsys-live-")
        self.addCleanup(folder.cleanup)
        store = fresh_store()
        nodes = []
        for _ in range(3):
            nodes.append(Daemon(f'[store]\nurl = "{store}"\n'))
            self.addCleanup(nodes[-1].close)
        first, second, third = nodes
        bob = first.user()
        balancer = Balancer(Path(folder.name), nodes)
        self.addCleanup(balancer.close)
        load = Load(balancer, bob)
        try:
            wait_for(lambda: min(map(received, nodes)) > 3 and load.heard["+OK"] and load.heard["220"])
            self.assertEqual(set(load.heard), {"220", "+OK"})
            second.kill()
            before = [received(first), received(third)]
            wait_for(lambda: received(first) > before[0] + 3 and received(third) > before[1] + 3)
        finally:
            load.stop()
        # At most one connection of each client was open to the node that died.
        failed = load.heard.total() - load.heard["220"] - load.heard["+OK"]
        self.assertLessEqual(failed, len(load.threads), load.heard)

        # One maildrop, whichever node opens it, and one session at a time.
        session = self.login(balancer.ports["pop3"], bob)
        for node in (first, third):
            with self.assertRaisesRegex(poplib.error_proto, r"\[IN-USE\]"):
                self.login(node.ports["pop3"], bob)
        texts = [b"\r\n".join(session.retr(number)[1]) for number in range(1, session.stat()[0] + 1)]
        session.quit()
        found = Counter(map(digest_of, texts))
        self.assertEqual({found[digest] for digest in load.accepted}, {1}, "each that was accepted is there once")
        self.assertLessEqual(found.total() - len(load.accepted), failed, "besides those whose reply was lost")
        self.login(third.ports["pop3"], bob).quit()
