"""A daemon that would succeed another one but comes too late: it ends, and the other one goes on undisturbed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.internet import reactor

from emailsys.control.control_socket import SOCKET_NAME, bind_control
from emailsys.daemon.listening import LISTENING_NAME
from emailsys.daemon.startup import prepare_with, read_configuration
from emailsys.supervisor import TOO_LATE, FolderLock, Inheritance, Predecessor, make_state_folder
from tests.system.daemon.test_daemon import DaemonCase


class TooLateTests(DaemonCase):
    async def test_the_files_of_the_other_daemon_stay(self) -> None:
        """The control socket too: without it no command would reach the daemon that goes on."""
        make_state_folder(self.state)
        lock, control = FolderLock.take(self.state), bind_control(self.state)
        self.addCleanup(lock.release)
        self.addCleanup(control.close)
        files = [self.state / LISTENING_NAME, self.state / "daemon.lock", Path(self.mktemp())]
        for file in files:
            file.write_text("of the other one\n")
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.sendall(TOO_LATE)
        listener = socket.create_server(("127.0.0.1", self.ports["smtp"]))
        passed = Inheritance(
            os.dup(lock.descriptor),
            os.dup(control.fileno()),
            theirs.detach(),
            [("smtp", os.dup(listener.fileno()), False)],
        )
        self.addCleanup(listener.close)
        ends: list[str] = []
        self.patch(reactor, "stop", lambda: ends.append("stop"))

        daemon = prepare_with(*read_configuration(str(self.state), str(self.config)), predecessor=Predecessor(passed))
        twistd = {"pidfile": ""}
        daemon.succession.twistd, daemon.succession.pid_file = twistd, str(files[2])
        daemon.startService()
        await daemon.stopService()

        self.assertEqual(ends, ["stop"])
        self.assertTrue(ours.recv(100).startswith(b'{"ready"'))
        self.assertEqual({file.read_text() for file in files}, {"of the other one\n"})
        self.assertEqual(twistd, {"pidfile": ""}, "twistd removes no file")
        self.assertTrue((self.state / SOCKET_NAME).is_socket())
        socket.create_connection(("127.0.0.1", self.ports["smtp"])).close()
