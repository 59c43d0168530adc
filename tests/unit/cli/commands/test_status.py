"""The command `status` without a daemon, and with a daemon that accepts no mail."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

from emailsys.cli import administer
from emailsys.cli.commands import status as status_command
from emailsys.config import locations
from emailsys.config.exit_status import Exit
from emailsys.control.control_socket import bind_control
from emailsys.supervisor import FolderLock
from tests.unit.cli.cli_case import CLICase

DAEMON: dict[str, Any] = {
    "version": "1",
    "hostname": "mx",
    "pid": 7,
    "uptime": 5,
    "state": "/s",
    "config": None,
    "listening": {},
    "sessions": {},
    "counters": {},
}


class StatusTests(CLICase):
    """A state folder without a store, unless a test makes one."""

    def test_a_daemon_that_is_starting_is_waited_for(self) -> None:
        """A starting daemon holds the lock of the folder before it has a control socket."""
        self.state.mkdir(parents=True, mode=0o700)
        lock = FolderLock.take(self.state)
        self.addCleanup(lock.release)

        def answer() -> None:
            listener = bind_control(self.state)
            listener.setblocking(True)
            with listener:
                hop = {"name": "[smart.test]", "paused_until": None, "reason": "451 4.4.3 no address", "alarm": True}
                results: tuple[Any, ...] = ({**DAEMON, "next_hops": [hop], "outbound": False}, [])
                for result in results:
                    connection, _ = listener.accept()
                    with connection:
                        connection.makefile("rb").readline()
                        connection.sendall(json.dumps({"result": result}).encode() + b"\n")

        thread = threading.Timer(0.2, answer)
        thread.start()
        self.addCleanup(thread.join)
        out = self.fine("status")
        self.assertIn("emailsys 1 on mx, process 7", out)
        self.assertNotIn("no daemon runs", out)
        self.assertIn("mail to other systems waits: outbound.enabled is false\n", out)
        alarm = "ALARM: mail for [smart.test] waits until its route or host is corrected: 451 4.4.3 no address"
        self.assertIn(alarm, out)

    def test_a_daemon_that_does_not_answer_is_waited_for_as_long_as_wanted(self) -> None:
        """A process that is stopped keeps its socket; a health check must end."""
        self.state.mkdir(parents=True, mode=0o700)
        listener = bind_control(self.state)
        self.addCleanup(listener.close)
        err = self.refused(Exit.UNAVAILABLE, "status", "--timeout", "0.1")
        self.assertIn("the daemon did not answer within 0.1 seconds", err)

    def test_without_daemon_and_store_no_second_store_is_advised_before_the_question_whose_folder_it_is(self) -> None:
        """The daemon may have been started a moment ago, or use another state folder."""
        err = self.refused(Exit.UNAVAILABLE, "status")
        self.assertIn("no daemon runs, and there is no store", err)
        self.assertIn("If you have just started the daemon, wait a moment and ask again", err)
        self.assertIn("if it uses another state folder, name that folder", err)

    def test_an_ordinary_user_is_told_of_the_system_daemon(self) -> None:
        """The default folder of an ordinary user is not that of the system."""
        system = Path(self.mktemp()).absolute()
        system.mkdir(parents=True)
        del os.environ["EMAILSYS_STATE"]
        os.environ["XDG_STATE_HOME"] = str(self.state)
        self.patch(os, "geteuid", lambda: 1000)
        self.patch(administer, "SYSTEM_STATE", system)
        self.patch(locations, "SYSTEM_CONFIG", system / "none")
        err = self.refused(Exit.UNAVAILABLE, "status")
        self.assertIn(f"no daemon of yours runs. The system's own state folder is {system}: try sudo", err)
        self.assertNotIn("emailsys init", err)
        err = self.refused(Exit.NO_INPUT, "user", "list")
        self.assertIn(f"The system's own state folder is {system}: try sudo, or --state {system}.", err)

    def test_a_socket_that_this_user_may_not_open_is_no_missing_daemon(self) -> None:
        """The daemon accepts commands only from root and from its own user."""
        self.state.mkdir(parents=True, mode=0o700)

        class Closed(socket.socket):
            def connect(self, address: Any) -> None:
                raise PermissionError(13, "Permission denied")

        self.patch(socket, "socket", Closed)
        err = self.refused(Exit.UNAVAILABLE, "status")
        self.assertIn("permission denied; only root and the daemon's own user may talk to it. Try sudo", err)
        self.assertNotIn("no daemon runs", err)

    def test_an_untrusted_store_is_an_alarm(self) -> None:
        """The output has the daemon's text: the meaning, and what to do."""
        why = "/s/mail.sqlite is another file than the one that is open here. Put the original file back"
        for untrusted in (True, False):
            daemon = {**DAEMON, "store": {"location": "/s", "problem": why, "untrusted": untrusted}}
            self.patch(status_command, "daemon_status", lambda where, daemon=daemon: daemon)
            status, out, _ = self.run_it("status")
            self.assertEqual(status, Exit.UNAVAILABLE)
            self.assertIn(f"NO MAIL IS ACCEPTED; senders are answered 451 and try again later: {why}", out)
            self.assertEqual("ALARM: files of the store were removed or replaced" in out, untrusted)
