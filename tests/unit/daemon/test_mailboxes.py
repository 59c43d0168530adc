"""The plugin that serves mailboxes is loaded at the start, or stops the start with its name and the reason."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import POP3Settings
from emailsys.daemon.mailboxes import load_mailboxes
from emailsys.supervisor import StartupError
from tests.fakes.net.smtp_house import Events
from tests.fakes.store.memory_store import MemoryStore


class LoadingTests(SynchronousTestCase):
    def test_without_a_plugin_the_store_is_served(self) -> None:
        mailboxes = load_mailboxes(POP3Settings(), "mx.example.test", Clock())
        self.assertIsNone(mailboxes.serve(MemoryStore().maildrops, Events()))
        self.successResultOf(ensureDeferred(mailboxes.stop()))

    def test_a_plugin_that_is_missing_stops_the_start_and_its_argument_is_hidden(self) -> None:
        settings = POP3Settings(maildrops="plugin:nobody:secret")
        error = self.assertRaises(StartupError, load_mailboxes, settings, "mx.example.test", Clock())
        self.assertRegex(str(error), r"^pop3\.maildrops: the maildrop plugin 'plugin:nobody:\*\*\*' cannot be loaded: ")
        self.assertNotIn("secret", str(error))
