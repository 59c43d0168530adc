"""The command `reload`: what it prints of the daemon's answer, and its exit status."""

from __future__ import annotations

import json
import threading
from typing import Any

from emailsys.config.exit_status import Exit
from emailsys.control.control_socket import bind_control
from tests.unit.cli.cli_case import CLICase


class ReloadTests(CLICase):
    def answering(self, result: dict[str, Any]) -> None:
        """Answer one request as a daemon."""
        self.state.mkdir(parents=True, mode=0o700, exist_ok=True)
        listener = bind_control(self.state)
        listener.setblocking(True)

        def answer() -> None:
            with listener, listener.accept()[0] as connection:
                connection.makefile("rb").readline()
                connection.sendall(json.dumps({"result": result}).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)

    def test_what_was_applied_and_what_needs_a_restart(self) -> None:
        restart = [{"key": "hostname", "why": "all parts have it"}]
        self.answering({"problems": [], "applied": ["smtp.max_recipients"], "restart": restart})
        told = "applied: smtp.max_recipients\nneeds a restart: hostname, because all parts have it\n"
        self.assertEqual(self.fine("reload"), told)
        self.answering({"problems": [], "applied": ["smtp.max_recipients"], "restart": []})
        self.assertEqual(self.fine("reload", "--check"), "would be applied: smtp.max_recipients\n")
        self.answering({"problems": [], "applied": [], "restart": []})
        self.assertEqual(self.fine("reload"), "The configuration has not changed.\n")

    def test_a_wrong_configuration_is_status_78(self) -> None:
        problem = "/etc/emailsys.toml: queue.first_retry: found -1; allowed: a time"
        for options in ((), ("--json",)):
            self.answering({"problems": [problem], "applied": [], "restart": []})
            status, out, err = self.run_it("reload", *options)
            self.assertEqual(status, Exit.CONFIG)
            self.assertIn(problem, out + err)

    def test_without_a_daemon_nothing_is_reloaded(self) -> None:
        self.assertIn("no daemon runs", self.refused(Exit.UNAVAILABLE, "reload"))
