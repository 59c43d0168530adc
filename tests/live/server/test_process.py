"""The daemon as a process: one for a state folder, drained by SIGTERM, nothing left in its working directory."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from tests.live.programs import messages
from tests.live.programs.daemon import BIN, TWISTD, Daemon, User, has_ipv6
from tests.live.programs.installed import run
from tests.live.programs.wire import Wire, smtp
from tests.live.server.test_python_clients import fetched, reader, submitter


class ProcessTests(SynchronousTestCase):
    """Each test has a daemon of its own."""

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def test_a_second_daemon_on_one_state_folder_names_the_first(self) -> None:
        """It ends at once, with the process that holds the folder in its message, and the first goes on."""
        config = self.daemon.folder / "other.toml"
        config.write_text("[listen]\nsmtp = []\nsubmission = []\nsubmissions = []\npop3 = []\npop3s = []\n")
        command = [TWISTD, "-n", "emailsys", "--config", str(config), "--state", str(self.daemon.state)]
        ended = run(command, home=self.daemon.folder, status=None, environ={"PYTHONPATH": str(Path.cwd())})
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn(str(self.daemon.pid).encode(), ended.stdout)
        self.assertNotIn(b"Traceback", ended.stdout)
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"NOOP"), 250)

    def test_sigterm_finishes_the_message_under_way(self) -> None:
        """Drained: no new connections, and a message whose last octets come during the drain is answered and kept."""
        bob = self.daemon.user()
        text = messages.plain("a@example.org", bob.address, "last")
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
            self.assertEqual(wire.code(f"RCPT TO:<{bob.address}>".encode()), 250)
            self.assertEqual(wire.code(b"DATA"), 354)
            wire.say(text[:100])
            self.daemon.signal(signal.SIGTERM)
            wire.say(text[100:].replace(b"\r\n.", b"\r\n..") + b".\r\n")
            reply = wire.reply()
        self.daemon.wait()
        self.assertNotIn("Traceback", self.daemon.log)
        self.daemon.start()
        session = reader(self.daemon, bob)
        # What was answered with 250 is kept; what was not may not have been kept.
        self.assertEqual(session.stat()[0], int(reply.startswith(b"250")))
        session.quit()
        self.assertTrue(reply.startswith(b"250"), reply)

    def test_a_second_sigterm_changes_nothing(self) -> None:
        """As `timeout` sends them, or one who presses Ctrl-C twice: the drain goes on, and the log has no traceback."""
        for command in (None, [sys.executable, str(BIN / "emailsys"), "serve"]):
            if command is not None:
                self.daemon.start(command)
            with smtp(self.daemon) as wire:
                self.assertEqual(wire.code(b"NOOP"), 250)
            for _ in range(3):
                self.daemon.signal(signal.SIGTERM)
                self.daemon.signal(signal.SIGINT)
            # twistd ends by the signal that came first, once all is done; `serve` with 0.
            self.assertIn(self.daemon.wait(), (0,) if command else (-signal.SIGTERM, -signal.SIGINT))
            self.assertIn("stopped aborted=0", self.daemon.log)
            self.assertNotIn("Traceback", self.daemon.log)

    def test_a_reload_during_the_drain_does_not_end_it(self) -> None:
        """As logrotate or `systemctl reload` send SIGHUP while a message is still under way."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        bob = self.daemon.user()
        text = messages.plain("a@example.org", bob.address, "last").replace(b"\r\n.", b"\r\n..")
        with smtp(self.daemon) as idle, smtp(self.daemon) as wire:
            for command in (b"MAIL FROM:<a@example.org>", f"RCPT TO:<{bob.address}>".encode()):
                self.assertEqual(wire.code(command), 250)
            self.assertEqual(wire.code(b"DATA"), 354)
            wire.say(text[:100])
            self.daemon.signal(signal.SIGTERM)
            self.assertIn(b"421", idle.until_end())
            self.daemon.signal(signal.SIGHUP)
            wire.say(text[100:] + b".\r\n")
            self.assertTrue(wire.reply().startswith(b"250"))
            self.daemon.signal(signal.SIGHUP)
        self.assertEqual(self.daemon.wait(), -signal.SIGTERM)
        self.assertIn("stopped aborted=0", self.daemon.log)

    def test_sigterm_says_farewell_to_idle_sessions(self) -> None:
        """421, and the process ends without waiting for their timeouts."""
        with smtp(self.daemon) as wire:
            self.daemon.signal(signal.SIGTERM)
            self.assertIn(b"421", wire.until_end())
        self.daemon.wait(30)

    def test_nothing_is_left_in_the_working_directory(self) -> None:
        """No pid file, no log: the folder it ran in holds what the test put there."""
        self.assertEqual(
            sorted(path.name for path in self.daemon.folder.iterdir()), ["daemon.log", "emailsys.toml", "state"]
        )
        self.assertEqual(self.daemon.state.stat().st_mode & 0o077, 0)

    def test_accounts_are_made_while_it_runs(self) -> None:
        """`emailsys user add` reaches the running daemon by its control socket, and the login works at once."""
        first = self.daemon.user()
        emailsys = [str(BIN / "emailsys"), "user"]
        where = {"EMAILSYS_STATE": str(self.daemon.state), "EMAILSYS_CONFIG": str(self.daemon.config_path)}
        run([*emailsys, "add", "--password-stdin", "carol@example.test"], stdin=b"correct horse\n", environ=where)
        listed = run([*emailsys, "list"], environ=where).stdout
        self.assertIn(b"carol@example.test", listed)
        with submitter(self.daemon, first) as session:
            text = messages.plain(first.address, "carol@example.test", "welcome")
            session.sendmail(first.address, ["carol@example.test"], text)
        carol = User("carol", "correct horse")
        session_in = reader(self.daemon, carol)
        self.assertTrue(messages.as_sent(fetched(session_in), text))
        session_in.quit()

    def test_users_change_their_own_password(self) -> None:
        """`emailsys password` logs in to the submission server with the old one; the rule for new ones applies."""
        user = self.daemon.user()
        server = f"localhost:{self.daemon.ports['submission']}"
        command = [str(BIN / "emailsys"), "password", user.address, "--server", server]
        command += ["--ca-file", str(self.daemon.ca), "--passwords-stdin"]
        where = {"XDG_CONFIG_HOME": str(self.daemon.folder / "none")}
        for lines, status, words in (
            ("wrong password\ncorrect horse\n", Exit.NO_PERMISSION, b"refused the old password"),
            (f"{user.password}\npassword123\n", Exit.DATA, b"a very common password"),
            (f"{user.password}\ncorrect horse\n", Exit.OK, b"changed the password"),
        ):
            done = run(command, stdin=lines.encode(), environ=where, status=status)
            self.assertIn(words, done.stdout)
        reader(self.daemon, User(user.name, "correct horse")).quit()
        command[3:5] = ["--server", f"localhost:{self.daemon.ports['submissions']}", "--security", "tls"]
        run(command, stdin=b"correct horse\nbattery staple\n", environ=where)
        reader(self.daemon, User(user.name, "battery staple")).quit()

    def test_accounts_are_made_while_no_daemon_runs(self) -> None:
        """The same commands work on the store itself."""
        self.daemon.stop()
        where = {"EMAILSYS_STATE": str(self.daemon.state), "EMAILSYS_CONFIG": str(self.daemon.config_path)}
        emailsys = str(BIN / "emailsys")
        run([emailsys, "domain", "add", "example.test", "--postmaster", "dora@example.test"], environ=where)
        add = [emailsys, "user", "add", "dora@example.test", "--password-command", "echo 'correct horse'"]
        run(add, environ=where)
        again = run(add, environ=where, status=65)
        self.assertNotIn(b"Traceback", again.stdout)
        run([emailsys, "user", "disable", "dora@example.test"], environ=where)
        run([emailsys, "user", "enable", "dora@example.test"], environ=where)
        self.daemon.start()
        dora = User("dora", "correct horse")
        with submitter(self.daemon, dora) as session:
            text = messages.plain(dora.address, "postmaster@example.test", "note to self")
            session.sendmail(dora.address, ["postmaster@example.test"], text)
        session_in = reader(self.daemon, dora)
        self.assertTrue(messages.as_sent(fetched(session_in), text))
        session_in.quit()
        refused = run([emailsys, "user", "remove", "dora@example.test"], environ=where, status=65)
        self.assertNotIn(b"Traceback", refused.stdout)

    def test_a_port_that_another_program_took_meanwhile_is_told_and_other_ports_serve(self) -> None:
        """The daemon ends and names the address; told others, it serves the same mail."""
        self.daemon.stop()
        taken = self.daemon.ports["pop3"]
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", taken))
            other.listen()
            self.daemon.start()
            said = f"{self.daemon.config_path}: listen.pop3: 127.0.0.1:{taken} is already in use by "
            self.assertIn(said, self.daemon.log)
            self.assertNotIn("Traceback", self.daemon.log)
            self.assertNotEqual(self.daemon.ports["pop3"], taken)
            with Wire(self.daemon, "pop3") as wire:
                self.assertTrue(wire.line().startswith(b"+OK"))

    def test_serve_is_the_foreground_twin(self) -> None:
        """`emailsys serve` on the same folder keeps the same mail."""
        bob = self.daemon.user()
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
            self.assertEqual(wire.code(f"RCPT TO:<{bob.address}>".encode()), 250)
            self.assertEqual(wire.code(b"DATA"), 354)
            self.assertEqual(wire.code(b"Subject: kept\r\n\r\n."), 250)
        self.daemon.stop()
        self.daemon.start([sys.executable, str(BIN / "emailsys"), "serve"])
        session = reader(self.daemon, bob)
        self.assertIn(b"Subject: kept", fetched(session))
        session.quit()
        self.assertEqual(self.daemon.stop(), 0)

    def test_every_listener_answers_on_both_loopback_addresses(self) -> None:
        """IPv6 too, where the machine has it."""
        greetings = {"smtp": b"220 ", "submission": b"220 ", "pop3": b"+OK"}
        for service, greeting in greetings.items():
            with Wire(self.daemon, service) as wire:
                self.assertTrue(wire.line().startswith(greeting))
            if has_ipv6():
                with Wire(self.daemon, service, "::1") as wire:
                    self.assertTrue(wire.line().startswith(greeting))
