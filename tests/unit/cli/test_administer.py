"""Commands that the running daemon answers: they import only what a request and its answer need."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from emailsys.control.commands import Commands
from emailsys.control.control_server import ControlFactory, ControlListener
from emailsys.control.control_socket import HAS_CONTROL, bind_control
from emailsys.control.store_access import Hooks
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, Recipient, RemoteRoute
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_store import MemoryStore

CHECKOUT: Final = Path(__file__).resolve().parents[3]
DAVE: Final = Address("dave", "example.net")
# In the order of a new system, so that most lists have a row.
COMMANDS: Final = (
    "status --timeout 60",
    "domain add example.test --postmaster ann@example.test",
    "alias set info@example.test ann@example.org",
    "domain list",
    "user list",
    "alias list",
    "route list",
    "token list",
    "queue list",
    "queue summary",
    "trace dave@example.net",
)
# What these commands have no use for, and what takes longest to import.
HEAVY: Final = (
    "twisted",
    "sqlalchemy",
    "alembic",
    "textual",
    "cryptography",
    "OpenSSL",
    "asyncio",
    "emailsys.store",
    "emailsys.daemon",
    "emailsys.net",
    "emailsys.supervisor",
)
PROGRAM: Final = f"""
import sys
from emailsys.cli.main import run

for command in {COMMANDS!r}:
    status = run(command.split())
    heavy = set({HEAVY!r}) & set(sys.modules)
    if status or heavy:
        sys.exit(f"{{command}}: exit status {{status}}, imported {{sorted(heavy)}}")
"""
STATUS: Final[dict[str, Any]] = {
    "version": "1",
    "hostname": "mx",
    "pid": 7,
    "uptime": 5,
    "state": "/s",
    "config": None,
    "listening": {"smtp": ["127.0.0.1:25"]},
    "sessions": {"smtp": 1},
    "counters": {"accepted": 3},
}


class DaemonAnswersTests(TestCase):
    """Commands in a process of their own, and a control socket in this one."""

    if not HAS_CONTROL:
        skip = "this system has no Unix sockets"

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir(mode=0o700)
        telemetry = Telemetry()
        store = MemoryStore(Clock())
        incoming = store.intake.begin()
        incoming.write(b"Subject: hello\r\n\r\nhello\r\n")
        envelope = Envelope(None, (Recipient(DAVE, (RemoteRoute(DAVE),)),), datetime(2026, 1, 1, tzinfo=UTC))
        self.successResultOf(Deferred.fromCoroutine(incoming.commit(envelope)))
        commands = Commands(store, telemetry, Hooks(status=lambda: STATUS))
        listener = ControlListener(bind_control(self.state), ControlFactory(commands, telemetry), reactor)
        self.addCleanup(listener.stop)
        listener.start()

    async def test_a_command_that_the_daemon_answers_imports_no_network_framework_and_no_database(self) -> None:
        """A health check runs every few seconds; most of its time is spent on imports."""
        # No store of this machine is found beside the one of the test.
        own = dict.fromkeys(("EMAILSYS_STATE", "XDG_STATE_HOME", "HOME"), str(self.state))
        outcome = getProcessOutputAndValue(
            sys.executable, ["-c", PROGRAM], env={**os.environ, **own}, path=str(CHECKOUT)
        )
        out, err, status = cast("tuple[bytes, bytes, int]", await outcome)
        self.assertEqual(status, 0, err.decode())
        self.assertIn(b"emailsys 1 on mx, process 7", out)
        self.assertIn(b"info@example.test", out)
        self.assertIn(b"dave@example.net", out)
