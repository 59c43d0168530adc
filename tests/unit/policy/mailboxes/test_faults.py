"""POP3 sessions over a mailbox plugin that raises, stalls, lies or blocks: -ERR [SYS/TEMP], and the session goes on."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.extension import CheckFailed
from emailsys.interfaces import MaildropInUse
from emailsys.policy.checks.calls import Calls
from emailsys.policy.mailboxes.calls import MailboxPlugin
from emailsys.policy.mailboxes.opening import Mailboxes
from tests.fakes.mailbox_plugin import AtOnce, Realm
from tests.fakes.net.pop3_house import LOGIN, POP3House
from tests.fakes.net.smtp_house import Events

ONE = b"Subject: one\r\n\r\n.dot\r\n"
TWO = b"Subject: two\r\n\r\n" + b"line\r\n" * 100
TEMPORARY = b"-ERR [SYS/TEMP] the mail store cannot answer now; try again later\r\n"


def _of_list(change: Callable[[Any], Any], result: Any) -> Any:
    """Change what is returned, but not an avatar."""
    return result if isinstance(result, tuple) else change(result)


def _same(file: Any, octets: bytes) -> Any:
    """Return a file in place of that of a message."""
    return file


class SessionTestCase(SynchronousTestCase):
    """Sessions of alice, who has two messages in the plugin."""

    def setUp(self) -> None:
        self.house = POP3House()
        self.realm, self.threads, self.events = Realm(), AtOnce(), Events()
        self.realm.add(ONE, TWO)
        clock = self.house.clock
        plugin = MailboxPlugin("folders", Calls(clock, 10.0, self.events), self.threads, clock, self.events)
        self.mailboxes = Mailboxes(plugin, self.realm, self.house.store.maildrops)
        self.house.logins.store = SimpleNamespace(maildrops=SimpleNamespace(open=self._open))  # type: ignore[assignment]

    async def _open(self, account_id: int) -> Any:
        return await self.mailboxes.open(self.house.alice)

    def session(self) -> Any:
        """A client that has logged in."""
        peer = self.house.connect()
        peer.heard()
        peer.say(LOGIN)
        return peer

    def said(self, peer: Any, command: bytes) -> bytes:
        peer.say(command + b"\r\n")
        heard: bytes = peer.heard()
        return heard

    def raise_at(self, name: str, error: Callable[[], Exception] = lambda: RuntimeError("a fault")) -> None:
        def fault() -> None:
            raise error()

        self.realm.instead[name] = fault


class Sessions(SessionTestCase):
    def test_a_session_reads_and_deletes_what_the_mailbox_has(self) -> None:
        peer = self.session()
        # The mailbox counts an octet for the end of each line.
        listed = sum(len(body.replace(b"\r", b"")) for body in (ONE, TWO))
        self.assertTrue(peer.heard().endswith(b"+OK 2 messages (%d octets)\r\n" % listed))
        self.assertEqual(self.realm.steps[0], "requestAvatar b'alice@example.test'")
        self.assertEqual(self.said(peer, b"UIDL"), b"+OK unique ids follow\r\n1 id1\r\n2 id2\r\n.\r\n")
        # LF became CRLF, and the dot is stuffed.
        self.assertEqual(
            self.said(peer, b"RETR 1"), b"+OK %d octets\r\nSubject: one\r\n\r\n..dot\r\n.\r\n" % (len(ONE) - 3)
        )
        self.assertEqual(
            self.said(peer, b"TOP 2 1"), b"+OK top of the message follows\r\nSubject: two\r\n\r\nline\r\n.\r\n"
        )
        self.realm.steps.clear()
        self.assertEqual(self.said(peer, b"DELE 1"), b"+OK message 1 deleted\r\n")
        self.assertEqual(self.said(peer, b"RSET")[:3], b"+OK")
        self.said(peer, b"DELE 2")
        # Sizes and unique-ids come from memory, and no mark reaches the mailbox before QUIT.
        self.assertEqual(self.realm.steps, [])
        self.assertEqual(self.said(peer, b"QUIT"), b"+OK bye, 1 message removed\r\n")
        self.assertEqual(self.realm.steps, ["deleteMessage", "sync", "logout"])
        self.assertEqual([body for _, body in self.realm.messages], [ONE])
        self.assertEqual(self.events.exceptions, [])

    def test_a_session_that_is_cut_off_tells_the_mailbox_nothing(self) -> None:
        peer = self.session()
        self.said(peer, b"DELE 1")
        self.realm.steps.clear()
        peer.lose()
        self.assertEqual(self.realm.steps, ["logout"])
        self.assertEqual(len(self.realm.messages), 2)

    def test_one_session_at_a_time(self) -> None:
        first, second = self.session(), self.session()
        self.assertIn(b"-ERR [IN-USE]", second.heard())
        self.said(first, b"QUIT")
        self.assertIn(b"+OK 2 messages", self.said(second, LOGIN.removesuffix(b"\r\n")))


class Faults(SessionTestCase):
    def test_an_exception_is_one_temporary_reply_and_one_traceback_and_no_end(self) -> None:
        peer = self.session()
        peer.heard()
        for command, name in ((b"RETR 1", "getMessage"), (b"TOP 1 0", "getMessage")):
            self.raise_at(name)
            self.assertEqual(self.said(peer, command), TEMPORARY)
            self.assertEqual([type(one) for one in self.events.exceptions], [RuntimeError])
            self.events.exceptions.clear()
            self.realm.instead.clear()
            self.assertEqual(self.said(peer, command)[:3], b"+OK")

    def test_a_login_fails_for_now_and_the_next_one_succeeds(self) -> None:
        for name in ("requestAvatar", "listMessages", "getUidl"):
            self.raise_at(name)
            peer = self.session()
            self.assertTrue(peer.heard().endswith(TEMPORARY), name)
            self.assertEqual(len(self.events.exceptions), 1)
            self.events.exceptions.clear()
            self.realm.instead.clear()
            # The same session, so it was not ended, and the lock is free.
            self.assertIn(b"+OK 2 messages", self.said(peer, LOGIN.removesuffix(b"\r\n")))
            peer.lose()
        self.assertEqual(self.realm.steps.count("logout"), 5)

    def test_a_plugin_may_say_that_it_cannot_answer_or_that_the_mailbox_is_in_use(self) -> None:
        self.raise_at("requestAvatar", lambda: CheckFailed("the disk\nis away"))
        self.assertTrue(self.session().heard().endswith(TEMPORARY))
        self.assertEqual(self.events.of("mailbox-failed"), [{"plugin": "folders", "why": "the disk is away"}])
        self.raise_at("requestAvatar", MaildropInUse)
        self.assertIn(b"-ERR [IN-USE]", self.session().heard())
        self.assertEqual(self.events.exceptions, [])

    def test_deletes_that_fail_are_undone_and_the_client_is_told(self) -> None:
        for name in ("deleteMessage", "sync"):
            peer = self.session()
            self.said(peer, b"DELE 1")
            self.raise_at(name)
            self.realm.steps.clear()
            self.assertEqual(self.said(peer, b"QUIT"), b"-ERR [SYS/TEMP] some deleted messages not removed\r\n")
            self.assertEqual(self.realm.steps[-2:], ["undeleteMessages", "logout"])
            self.assertEqual(len(self.events.exceptions), 1)
            self.events.exceptions.clear()
            self.realm.instead.clear()
            self.assertEqual(len(self.realm.messages), 2)

    def test_a_list_that_is_no_list_is_a_fault(self) -> None:
        for lists, uid in (
            (lambda result: ["12"], None),
            (lambda result: [-1], None),
            (lambda result: None, None),
            (None, lambda number: b""),
            (None, lambda number: b"a b"),
            (None, lambda number: b"x" * 71),
            (None, lambda number: b"same"),
            (None, lambda number: None),
        ):
            self.realm = Realm()
            self.setUp()
            if lists is not None:
                self.realm.answered = partial(_of_list, lists)
            if uid is not None:
                self.realm.uid = uid
            self.assertTrue(self.session().heard().endswith(TEMPORARY))
            self.assertEqual(len(self.events.exceptions), 1)
            self.assertIn("logout", self.realm.steps)

    def test_a_file_of_text_and_one_without_end_are_faults(self) -> None:
        class Endless(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                return b"x" * 100_000

        files: list[Any] = [io.StringIO("text"), Endless(), None]
        for file in files:
            self.realm.file = partial(_same, file)
            peer = self.session()
            peer.heard()
            self.assertEqual(self.said(peer, b"RETR 1"), TEMPORARY)
            self.assertEqual(len(self.events.exceptions), 1)
            self.events.exceptions.clear()
            self.assertEqual(self.said(peer, b"NOOP"), b"+OK\r\n")
            peer.lose()
        # None stays open.
        self.assertEqual([file.closed for file in files[:2]], [True, True])

    def test_an_avatar_that_is_none_is_a_fault(self) -> None:
        self.realm.answered = lambda result: None
        self.assertTrue(self.session().heard().endswith(TEMPORARY))
        self.assertEqual(len(self.events.exceptions), 1)


class Deadlines(SessionTestCase):
    def test_a_thread_that_is_late_costs_its_own_session_only_and_its_account_no_second_thread(self) -> None:
        peer = self.session()
        peer.heard()
        self.threads.holds = True
        file = io.BytesIO(ONE)
        self.realm.file = partial(_same, file)
        self.assertEqual(self.said(peer, b"RETR 1"), b"")
        self.house.clock.advance(10)
        self.assertEqual(peer.heard(), TEMPORARY)
        self.assertEqual(self.events.of("mailbox-late"), [{"plugin": "folders", "seconds": 10.0}])
        # The thread is still in the mailbox: no other may enter.
        self.assertEqual(self.said(peer, b"RETR 2"), TEMPORARY)
        self.assertEqual(self.said(peer, b"NOOP"), b"+OK\r\n")
        self.said(peer, b"QUIT")
        self.threads.holds = False
        self.assertTrue(self.session().heard().endswith(TEMPORARY))
        self.assertNotIn("logout", self.realm.steps)
        # The thread ends, and only then the plugin is told of the end.
        self.threads.let_go()
        self.assertIn("logout", self.realm.steps)
        self.assertTrue(file.closed)
        self.assertIn(b"+OK 2 messages", self.session().heard())

    def test_a_mailbox_that_opens_late_is_logged_out_of(self) -> None:
        self.threads.holds = True
        peer = self.session()
        self.house.clock.advance(10)
        self.assertTrue(peer.heard().endswith(TEMPORARY))
        self.threads.let_go()
        self.assertEqual(self.realm.steps[-2:], ["requestAvatar", "logout"])
        self.assertIn(b"+OK 2 messages", self.said(peer, LOGIN.removesuffix(b"\r\n")))

    def test_a_deferred_that_never_fires_is_cancelled(self) -> None:
        waiting: list[Deferred[Any]] = []
        cancelled: list[object] = []

        def wait(result: Any) -> Any:
            if isinstance(result, tuple | list | bytes):
                return result
            waiting.append(Deferred(cancelled.append))
            return waiting[-1]

        self.realm.answered = wait
        peer = self.session()
        peer.heard()
        self.assertEqual(self.said(peer, b"RETR 1"), b"")
        self.house.clock.advance(10)
        self.assertEqual(peer.heard(), TEMPORARY)
        self.assertEqual(len(cancelled), 1)
