"""Mailboxes of plugins keep the public contract of maildrops, whether they block, wait or are maildrops themselves."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from emailsys.extension import INonBlocking
from emailsys.interfaces import IMaildrop
from emailsys.policy.mailboxes.threads import PluginThreads
from emailsys.testing.contracts import MailboxContract
from tests.fakes.mailbox_plugin import Folder, Realm
from tests.fakes.store.memory_store import MemoryStore


class PluginContract(MailboxContract):
    """The contract for the mailboxes of `make_realm`."""

    # Made for the first message or session of a test.
    _realm: Any = None

    def make(self) -> Any:
        return Realm()

    def make_realm(self) -> Any:
        self._realm = self._realm or self.make()
        return self._realm

    async def put(self, bodies: Sequence[bytes]) -> None:
        self.make_realm().add(*bodies)


class BlockingTests(PluginContract, TestCase):
    """A stock mailbox whose methods block: they run in threads."""


class ThreadedDeferredTests(PluginContract, TestCase):
    """A stock mailbox that does not say that it never blocks, and returns Deferreds."""

    def make(self) -> Any:
        realm = Realm()
        realm.answered = lambda result: maybeDeferred(lambda: result)
        return realm


@implementer(INonBlocking)
class WaitingFolder(Folder):
    """A mailbox that never blocks."""


@implementer(INonBlocking)
class WaitingRealm(Realm):
    """A realm whose answers come later, in the reactor's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = self._later

    def make(self) -> Any:
        return WaitingFolder(self)

    def _later(self, result: Any) -> Deferred[Any]:
        return deferLater(reactor, 0, lambda: result)


class NonBlockingTests(PluginContract, TestCase):
    """A mailbox that returns Deferreds in the reactor's thread."""

    def make(self) -> Any:
        return WaitingRealm()


class OwnMaildrops:
    """A realm whose avatars are complete maildrops."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self._account = self._store.seed_account("alice@example.test")

    def add(self, *bodies: bytes) -> None:
        for body in bodies:
            self._store.put(self._account, body)

    async def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        assert IMaildrop in interfaces
        return IMaildrop, await self._store.maildrops.open(self._account.account_id), lambda: None


class OwnMaildropTests(PluginContract, TestCase):
    """A plugin that implements all of IMaildrop."""

    def make(self) -> Any:
        return OwnMaildrops()


class ThreadTests(TestCase):
    """The threads themselves."""

    def test_a_thread_that_is_stuck_delays_neither_the_next_call_nor_the_end(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.stuck())

    async def stuck(self) -> None:
        threads, begun, release = PluginThreads(reactor, 2), Event(), Event()  # type: ignore[arg-type]
        ended: list[tuple[Any, bool]] = []
        late: Deferred[Any] = Deferred()

        def note(result: Any, is_wanted: bool) -> None:
            ended.append((result, is_wanted))
            late.callback(None)

        def quick(result: Any, is_wanted: bool) -> None:
            ended.append((result, is_wanted))

        def work() -> bool:
            begun.set()
            return release.wait(60)

        stuck = threads.run(work, note)
        self.assertTrue(begun.wait(60))
        _ = stuck.addErrback(lambda failure: None)
        stuck.cancel()
        self.assertEqual(await threads.run(lambda: 7, quick), 7)
        self.assertEqual(ended, [(7, True)])
        threads.stop()
        release.set()
        await late
        self.assertEqual(ended[1:], [(True, False)])

    def test_a_call_that_was_given_up_before_it_began_is_never_made(self) -> Deferred[None]:
        """Its mailbox is free at once, although all threads are stuck."""
        return Deferred.fromCoroutine(self.given_up())

    async def given_up(self) -> None:
        threads, release, made = PluginThreads(reactor, 1), Event(), []  # type: ignore[arg-type]
        outcomes: list[tuple[Any, bool]] = []
        stuck = threads.run(lambda: release.wait(60), lambda *_: None)
        waiting = threads.run(lambda: made.append("given up"), lambda *outcome: outcomes.append(outcome))
        after = threads.run(lambda: made.append("after"), lambda *_: None)
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        [(failure, is_wanted)] = outcomes
        self.assertEqual((failure.type, is_wanted), (CancelledError, False))
        release.set()
        await stuck
        await after
        self.assertEqual((made, len(outcomes)), (["after"], 1))
        threads.stop()
