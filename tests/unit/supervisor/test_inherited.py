"""Sockets and the lock that a daemon inherits from systemd or from the daemon that it succeeds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import Listen, Settings
from emailsys.supervisor import FolderLock, StartupError, activated_listeners, bind_all, close_all, holder_of

NAMES = ("smtp", "pop3")


class InheritedTests(SynchronousTestCase):
    def settings(self, *ports: int) -> Settings:
        return Settings("mx.test", Path(), smtp_listen=Listen(tuple(("127.0.0.1", port) for port in ports)))

    def test_sockets_for_another_process_or_without_a_service_are_not_taken(self) -> None:
        """The variables are removed, so that no child process takes them for its own."""
        for pid, names, problem in ((1, "smtp", None), (os.getpid(), "imap", '"imap"'), (os.getpid(), "", '""')):
            environ = {"LISTEN_PID": str(pid), "LISTEN_FDS": "1", "LISTEN_FDNAMES": names}
            if problem is None:
                self.assertEqual(activated_listeners(environ, NAMES), [])
            else:
                with self.assertRaises(StartupError) as caught:
                    activated_listeners(environ, NAMES)
                self.assertIn(f"name {problem}; allowed: smtp, pop3", str(caught.exception))
            self.assertEqual(environ, {})

    def test_inherited_sockets_are_used_for_the_same_addresses_and_the_others_are_closed(self) -> None:
        before = bind_all(self.settings(0, 0))
        kept, dropped = before
        port = kept.socket.getsockname()[1]
        after = bind_all(self.settings(port, 0), inherited=[kept])
        self.addCleanup(close_all, after)
        self.assertIs(after[0], kept)
        self.assertEqual(len(after), 2)
        self.assertEqual(bind_all(self.settings(), inherited=[dropped]), [])
        self.assertEqual(dropped.socket.fileno(), -1)

    def test_a_socket_of_systemd_goes_before_the_addresses_of_its_service(self) -> None:
        [one] = bind_all(self.settings(0))
        self.addCleanup(close_all, [one])
        activated = replace(one, is_activated=True)
        self.assertEqual(bind_all(self.settings(0, 0), [activated]), [activated])
        self.assertEqual(bind_all(self.settings(0, 0), inherited=[activated]), [activated])

    def test_the_lock_belongs_to_the_successor_from_the_moment_it_serves(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        first = FolderLock.take(folder)
        second = FolderLock.inherit(os.dup(first.descriptor), folder)
        second.write_pid()
        first.is_handed_over = True
        first.release()
        self.assertEqual(holder_of(folder), os.getpid())
        second.release()
        self.assertIsNone(holder_of(folder))

    def test_a_failed_successor_leaves_the_lock_as_it_was(self) -> None:
        """Nor does a successor work in another state folder than the daemon that it succeeds."""
        folder, other = Path(self.mktemp()), Path(self.mktemp())
        folder.mkdir()
        other.mkdir()
        first = FolderLock.take(folder)
        self.addCleanup(first.release)
        FolderLock.inherit(os.dup(first.descriptor), folder).release()
        self.assertEqual(holder_of(folder), os.getpid())
        with self.assertRaises(StartupError):
            FolderLock.inherit(first.descriptor, other)
