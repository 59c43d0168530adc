"""MailSystem: what is left behind at its end, and what it installs: nothing."""

from __future__ import annotations

import os
import smtplib
import socket
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.testing import MailSystem
from emailsys.testing.reactor_thread import stop_shared_reactor_thread
from tests.unit.testing.test_system import letter


class EndTests(SynchronousTestCase):
    """What is left behind: nothing."""

    def test_two_at_once_know_nothing_of_each_other(self) -> None:
        """Each has its own ports, mail and failures."""
        with MailSystem() as one, MailSystem() as other:
            one.fail("554 at connect")
            with smtplib.SMTP(other.host, other.port, timeout=10) as client:
                client.send_message(letter())
            self.assertEqual((len(one.messages), len(other.messages)), (0, 1))

    def test_ports_threads_and_folders_are_gone(self) -> None:
        """Also with a session that is open, and a named port can be used again at once."""
        stop_shared_reactor_thread()
        threads = set(threading.enumerate())
        # With TLS it has files.
        system = MailSystem(tls=True)
        (folder,) = {Path(str(system._server._temporary))}
        self.assertTrue(folder.is_dir())
        client = smtplib.SMTP(system.host, system.port, timeout=10)
        self.addCleanup(client.close)
        system.close()
        system.close()
        self.assertFalse(folder.exists())
        self.assertRaises(ConnectionRefusedError, socket.create_connection, (system.host, system.port), 1)
        self.assertRaises(smtplib.SMTPServerDisconnected, client.noop)
        with MailSystem(port=system.port) as again:
            self.assertEqual(again.port, system.port)
            self.assertRaises(OSError, MailSystem, port=again.port)
        stop_shared_reactor_thread()
        left = set(threading.enumerate()) - threads
        for one in left:
            # A thread that has ended its work may have a last step to take.
            one.join(10)
        self.assertEqual([one for one in left if one.is_alive()], [])

    def test_no_reactor_is_installed(self) -> None:
        """Beside it another loop runs, and the asyncio reactor can still be installed. Nor is a store imported."""
        program = """
import asyncio, smtplib, sys
from emailsys.testing import MailSystem
with MailSystem() as system:
    assert "twisted.internet.reactor" not in sys.modules
    # Its mail is in memory. The imports of a store would double the time of the first start.
    assert "sqlalchemy" not in sys.modules and "emailsys.store" not in sys.modules
    async def main():
        def send():
            with smtplib.SMTP(system.host, system.port) as client:
                client.sendmail("a@b.example", ["x@example.com"], b"Subject: hi\\r\\n\\r\\n")
        await asyncio.to_thread(send)
    asyncio.run(main())
    from twisted.internet import asyncioreactor
    asyncioreactor.install(asyncio.new_event_loop())
    from twisted.internet import reactor
    assert type(reactor).__name__ == "AsyncioSelectorReactor", reactor
    import twisted.mail.smtp
    assert twisted.mail.smtp.reactor.seconds() > 0
    reactor.callLater(0, reactor.stop)
    reactor.run()
    print(system.wait_for(subject="hi"))
"""
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("x@example.com", run.stdout)

    def test_a_run_that_forgets_to_close_it(self) -> None:
        """The folder goes with the process; a forked child has a mail system of its own."""
        program = """
import os, smtplib, sys
from emailsys.testing import MailSystem
def use():
    system = MailSystem(tls=True)
    with smtplib.SMTP(system.host, system.port) as client:
        client.sendmail("a@b.example", ["x@example.com"], b"Subject: hi\\r\\n\\r\\n")
    assert len(system.messages) == 1
    print(system._server._temporary, flush=True)
    return system
system = use()
child = os.fork()
if not child:
    use().close()
    # That of the parent stays, however the child ends.
    system.close()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert os.path.isdir(system._server._temporary)
"""
        # Python 3.12 and later warn of every fork beside a thread.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        folders = run.stdout.split()
        self.assertEqual([len(folders), *(Path(folder).exists() for folder in folders)], [2, False, False])

    if not hasattr(os, "fork"):
        test_a_run_that_forgets_to_close_it.skip = "needs fork"  # type: ignore[attr-defined]

    def test_the_plugin_imports_next_to_nothing(self) -> None:
        """Test suites that use no mail pay for one small module."""
        program = (
            "import pytest, sys; before = set(sys.modules); import emailsys.testing.plugin; "
            "print(*sorted(set(sys.modules) - before))"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(run.stdout.split(), ["emailsys", "emailsys.testing", "emailsys.testing.plugin"])
