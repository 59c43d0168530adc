"""A fetch stores each message once, and deletes none on the server before it is stored."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys.client.accounts.values import Account, Keep, KeepKind
from emailsys.client.archive.unreadable import RECORD
from emailsys.client.archive.values import ArchiveFull
from emailsys.client.base.process_lock import ProcessLock
from emailsys.client.fetch.fetcher import FetchError, FetchOptions, FetchResult, Stage
from emailsys.client.fetch.journal import FetchedIds
from emailsys.client.fetch.maildrop_session import MaildropSession
from tests.fakes.client.client_house import ClientHouse, numbered
from tests.fakes.net.pop3_house import FIRST, SECOND, THIRD, POP3House

DELETE = Keep(KeepKind.DELETE)


class ScriptedPOP3(Protocol):
    """A server that answers each command by its verb, and closes the connection if the answer is None."""

    factory: Any
    _buffer = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.factory.sessions += 1
        self.transport.write(self.factory.answers.get("greeting", b"+OK\r\n"))

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self._buffer += data
        while b"\r\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            self.factory.heard.append(line)
            answer = self.factory.answer(line)
            if answer is None:
                self.transport.loseConnection()
                return
            self.transport.write(answer)


class Script(ServerFactory):
    """Answers by whole line or by verb; a list is used up one by one, its last element stays."""

    noisy = False
    protocol = ScriptedPOP3

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "CAPA": b"+OK\r\nTOP\r\nUIDL\r\nPIPELINING\r\n.\r\n",
            "USER": b"+OK\r\n",
            "PASS": b"+OK\r\n",
            "DELE": b"+OK\r\n",
            "QUIT": b"+OK\r\n",
            **answers,
        }
        self.heard: list[bytes] = []
        self.sessions = 0

    def answer(self, line: bytes) -> bytes | None:
        text = line.decode("latin-1").replace(" ", "_")
        answer = self.answers.get(text, self.answers.get(text.split("_")[0], b"-ERR what?\r\n"))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        assert answer is None or isinstance(answer, bytes)
        return answer


class FetchCase(TestCase):
    """A person's client and a server with three messages for alice."""

    def setUp(self) -> None:
        self.client = ClientHouse(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))
        self.house = POP3House(clock=reactor)
        self.port = self.client.listen(self.house.factory)
        self.account = self.client.account(pop3=self.port)

    async def fetch(self, wanted: FetchOptions | None = None, account: Account | None = None) -> FetchResult:
        return await deferToThread(self.client.fetcher.fetch, account or self.account, wanted or FetchOptions())

    def scripted(self, **answers: Any) -> tuple[Script, Account]:
        """A server by script, and an account there."""
        script = Script(**answers)
        return script, self.client.account(pop3=self.client.listen(script))


class FetchTests(FetchCase):
    """One account."""

    async def test_messages_come_octet_by_octet_and_stay_on_the_server(self) -> None:
        result = await self.fetch()
        self.assertIsNone(result.problem)
        self.assertEqual(self.client.messages(), sorted([FIRST, SECOND, THIRD]))
        self.assertEqual((len(result.keys), result.deleted, result.on_server), (3, 0, 3))
        self.assertEqual(result.octets, len(FIRST + SECOND + THIRD))
        self.assertEqual(len(self.house.bodies()), 3)

    async def test_no_message_is_fetched_twice(self) -> None:
        await self.fetch()
        self.house.store.put(self.house.alice, b"Subject: new\r\n\r\n")
        result = await self.fetch()
        self.assertEqual(len(result.keys), 1)
        self.assertEqual(len(self.client.messages()), 4)

    async def test_a_message_deleted_here_is_not_fetched_again(self) -> None:
        result = await self.fetch()
        self.client.archive.delete(map(self.client.archive.get, result.keys))
        self.client.archive.empty_trash("alice")
        self.assertEqual((await self.fetch()).keys, ())

    async def test_a_stored_message_without_a_record_is_not_fetched_again(self) -> None:
        """The program died after storing the message and before recording its id."""
        await self.fetch()
        for journal in (self.client.state / "fetched").glob("*.ids"):
            journal.unlink()
        result = await self.fetch()
        self.assertEqual((result.keys, result.octets), ((), 0))
        self.assertEqual(len(self.client.messages()), 3)

    async def test_messages_are_deleted_there_only_where_that_is_asked(self) -> None:
        result = await self.fetch(FetchOptions(keep=DELETE))
        self.assertEqual((result.deleted, result.on_server), (3, 0))
        self.assertEqual(self.house.bodies(), [])
        self.assertEqual(len(self.client.messages()), 3)

    async def test_messages_are_deleted_so_many_days_after_the_fetch(self) -> None:
        keep = FetchOptions(keep=Keep(KeepKind.DAYS, 7))
        await self.fetch(keep)
        self.client.pass_days(6.9)
        self.house.store.put(self.house.alice, b"Subject: later\r\n\r\n")
        self.assertEqual((await self.fetch(keep)).deleted, 0)
        self.client.pass_days(0.2)
        result = await self.fetch(keep)
        self.assertEqual((result.deleted, result.on_server), (3, 1))

    async def test_messages_over_the_limit_stay_and_show_their_header(self) -> None:
        self.house.store.put(self.house.alice, b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n")
        result = await self.fetch(FetchOptions(max_octets=80, keep=DELETE))
        (big,) = [one for one in result.too_big if b"big" in one.header]
        self.assertEqual((big.header, big.octets), (b"Subject: big\r\n\r\n", 88))
        self.assertIn(b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n", self.house.bodies())
        result = await self.fetch(FetchOptions(uids=frozenset({big.uid})))
        self.assertEqual(len(result.keys), 1)

    async def test_the_newest_ones_alone_may_be_fetched(self) -> None:
        await self.fetch(FetchOptions(newest=1))
        self.assertEqual(self.client.messages(), [THIRD])

    async def test_the_server_is_previewed_without_fetching(self) -> None:
        await self.fetch(FetchOptions(newest=1))
        shown = await deferToThread(self.client.fetcher.preview, self.account, lines=1)
        self.assertEqual([one.fetched for one in shown], [True, False, False])
        self.assertEqual(shown[1].header, b"Subject: two\r\n\r\nline 1\r\n")
        self.assertEqual(len(self.client.messages()), 1)

    async def test_progress_is_told_from_the_first_step_to_the_last(self) -> None:
        await self.fetch(FetchOptions(keep=DELETE))
        stages = [one.stage for one in self.client.progress]
        self.assertEqual(list(dict.fromkeys(stages)), list(Stage)[:5])
        self.assertEqual((self.client.progress[-1].messages, self.client.progress[-1].all_messages), (3, 3))

    async def test_many_messages_come_in_order_of_the_maildrop(self) -> None:
        for octets in numbered(700):
            self.house.store.put(self.house.alice, octets)
        result = await self.fetch()
        self.assertEqual(len(result.keys), 703)
        self.assertEqual(self.client.archive.octets(result.keys[-1]), numbered(700)[-1])

    async def test_accounts_are_fetched_side_by_side(self) -> None:
        self.house.store.put(self.house.bob, SECOND)
        bob = self.client.account("bob", pop3=self.port, password="pass  word ")
        results = await deferToThread(self.client.fetcher.fetch_all, [self.account, bob])
        self.assertEqual([(one.account, len(one.keys)) for one in results], [("alice", 3), ("bob", 1)])


class TroubleTests(FetchCase):
    """Failures are reported in words, and lose no message."""

    async def test_a_wrong_password_is_reported_and_asked_for_again(self) -> None:
        account = self.client.account(pop3=self.port, password="wrong")
        result = await self.fetch(account=account)
        assert result.problem is not None
        self.assertIn("refused the login of alice@example.test", result.problem)
        self.assertIn("password", result.advice)
        self.assertFalse(result.transient)

    async def test_an_account_without_a_server_is_reported(self) -> None:
        result = await self.fetch(account=self.client.account())
        self.assertIn("has no POP3 server", str(result.problem))

    async def test_a_refused_connection_is_a_transient_failure(self) -> None:
        result = await self.fetch(account=self.client.account(pop3=1))
        self.assertIn("refused", str(result.problem))
        self.assertTrue(result.transient)
        with self.assertRaises(FetchError):
            await deferToThread(self.client.fetcher.preview, self.client.account(pop3=1))

    async def test_two_fetches_of_one_maildrop_do_not_collide(self) -> None:
        assert self.account.pop3 is not None
        ids = FetchedIds(self.client.state / "fetched", "127.0.0.1", self.account.pop3.username)
        claim = ProcessLock(ids.lock_path)
        result = await self.fetch()
        self.assertIn("is fetching the mail of alice now", str(result.problem))
        claim.release()
        self.assertEqual(len((await self.fetch()).keys), 3)

    async def test_a_full_disk_loses_nothing_on_either_side(self) -> None:
        whole = self.client.archive.add_many

        def full(additions: Any) -> Any:
            raise ArchiveFull("the disk is full") from OSError(errno.ENOSPC, "full")

        self.patch(self.client.archive, "add_many", full)
        result = await self.fetch(FetchOptions(keep=DELETE))
        self.assertIn("the disk is full", str(result.problem))
        self.assertEqual(len(self.house.bodies()), 3)
        self.patch(self.client.archive, "add_many", whole)
        self.assertEqual(len((await self.fetch(FetchOptions(keep=DELETE))).keys), 3)
        self.assertEqual(self.house.bodies(), [])

    async def test_a_broken_connection_is_taken_up_where_it_broke(self) -> None:
        script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR_1=b"+OK\r\nSubject: 1\r\n\r\n.\r\n",
            RETR_2=[None, b"+OK\r\nSubject: 2\r\n\r\n.\r\n"],
        )
        result = await self.fetch(account=account)
        self.assertIsNone(result.problem)
        self.assertEqual(self.client.messages(), [b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n"])
        self.assertEqual(script.heard.count(b"RETR 1"), 1)

    async def test_a_server_that_hangs_up_at_one_message_gives_the_others(self) -> None:
        """Message 3 never came: each fetch ended at message 2. It is fetched last, given up and told."""
        script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n3 10\r\n.\r\n",
            RETR_1=b"+OK\r\none\r\n.\r\n",
            RETR_2=None,
            RETR_3=b"+OK\r\nthree\r\n.\r\n",
        )
        result = await self.fetch(FetchOptions(keep=DELETE), account)
        self.assertEqual(self.client.messages(), [b"one\r\n", b"three\r\n"])
        self.assertIn("message b was not fetched: 2 sessions ended at this message", str(result.problem))
        self.assertIn("lost in answer to RETR", str(result.problem))
        self.assertTrue(result.transient)
        asked = [line for line in script.heard if line.startswith((b"RETR", b"DELE"))]
        self.assertEqual(asked, [b"RETR 1", b"RETR 2", b"RETR 3", b"RETR 2", b"DELE 1", b"DELE 3"])

    async def test_a_server_that_hangs_up_at_a_preview_gives_the_messages(self) -> None:
        _script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 9999\r\n.\r\n",
            RETR_1=b"+OK\r\none\r\n.\r\n",
            TOP=None,
        )
        result = await self.fetch(FetchOptions(max_octets=100), account)
        self.assertIsNone(result.problem)
        self.assertEqual(self.client.messages(), [b"one\r\n"])
        self.assertEqual([(one.uid, one.header) for one in result.too_big], [("b", b"")])

    async def test_a_server_that_sends_more_than_it_announced_is_cut(self) -> None:
        """It could fill memory and disk. The announced size may lack the CR of each line, and fields that are added."""
        _script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR_1=b"+OK\r\n" + b"x" * 70_000 + b"\r\n",
            RETR_2=b"+OK\r\n" + b"x" * 60_000 + b"\r\n.\r\n",
        )
        result = await self.fetch(account=account)
        self.assertEqual([len(one) for one in self.client.messages()], [60_002])
        self.assertIn("message a was not fetched: 2 sessions ended", str(result.problem))
        self.assertIn("announced 10 octets and sent more than", str(result.problem))

    async def test_an_unexpected_exception_ends_the_fetch_of_one_account_only(self) -> None:
        def planted(session: MaildropSession, messages: Any) -> None:
            raise AttributeError("secret words")

        self.patch(MaildropSession, "_select", planted)
        result = await self.fetch()
        self.assertIn("the fetch failed with AttributeError; please report it", str(result.problem))
        self.assertNotIn("secret", (self.client.state / RECORD).read_text("utf-8"))

    async def test_a_server_that_always_hangs_up_is_given_up(self) -> None:
        script, account = self.scripted(UIDL=b"+OK\r\n1 a\r\n.\r\n", LIST=b"+OK\r\n1 10\r\n.\r\n", RETR=None)
        result = await self.fetch(account=account)
        self.assertIn("was lost", str(result.problem))
        self.assertEqual(script.sessions, 3)

    async def test_half_a_message_is_no_message(self) -> None:
        script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n.\r\n", LIST=b"+OK\r\n1 10\r\n.\r\n", RETR=b"+OK\r\nSubject: half\r\n"
        )
        fetching = Deferred.fromCoroutine(self.fetch(FetchOptions(keep=DELETE), account))
        while b"RETR 1" not in script.heard:
            await _turn()
        await _turn()
        self.client.fetcher.stop()
        result = await fetching
        self.assertIn("stopped by this program", str(result.problem))
        self.assertEqual((self.client.messages(), script.sessions), ([], 1))

    async def test_a_message_that_is_refused_does_not_stop_the_others(self) -> None:
        script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR_1=b"-ERR cannot be read\r\n",
            RETR_2=b"+OK\r\nSubject: 2\r\n\r\n.\r\n",
        )
        result = await self.fetch(FetchOptions(keep=DELETE), account)
        self.assertEqual(len(result.keys), 1)
        self.assertIn("cannot be read", str(result.problem))
        self.assertNotIn(b"DELE 1", script.heard)
        self.assertIn(b"DELE 2", script.heard)

    async def test_a_message_without_an_id_is_told_and_stays(self) -> None:
        """The next fetch could not tell whether it was fetched."""
        script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n2 \xe4\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR_1=b"+OK\r\nSubject: 1\r\n\r\n.\r\n",
        )
        result = await self.fetch(FetchOptions(keep=DELETE), account)
        self.assertEqual((len(result.keys), result.deleted, result.on_server), (1, 1, 1))
        self.assertIn("the message number 2 was not fetched: it has no unique id (UIDL)", str(result.problem))
        self.assertNotIn(b"DELE 2", script.heard)

    async def test_a_quit_that_is_refused_deletes_nothing_as_far_as_we_know(self) -> None:
        _script, account = self.scripted(
            UIDL=b"+OK\r\n1 a\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n.\r\n",
            RETR=b"+OK\r\nx\r\n.\r\n",
            QUIT=b"-ERR some messages were not removed\r\n",
        )
        result = await self.fetch(FetchOptions(keep=DELETE), account)
        self.assertEqual(result.deleted, 0)
        self.assertIn("not removed", str(result.problem))

    async def test_messages_that_share_an_id_are_both_fetched(self) -> None:
        _script, account = self.scripted(
            UIDL=b"+OK\r\n1 same\r\n2 same\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR_1=b"+OK\r\none\r\n.\r\n",
            RETR_2=b"+OK\r\ntwo\r\n.\r\n",
        )
        await self.fetch(account=account)
        self.assertEqual(self.client.messages(), [b"one\r\n", b"two\r\n"])

    async def test_a_server_without_capa_and_pipelining_serves_too(self) -> None:
        script, account = self.scripted(
            CAPA=b"-ERR\r\n",
            UIDL=b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
            LIST=b"+OK\r\n1 10\r\n2 10\r\n.\r\n",
            RETR=b"+OK\r\nx\r\n.\r\n",
        )
        self.assertEqual(len((await self.fetch(account=account)).keys), 2)
        self.assertEqual(script.heard[:3], [b"CAPA", b"USER alice@example.test", b"PASS secret"])

    async def test_a_maildrop_that_is_open_elsewhere_is_transient(self) -> None:
        _script, account = self.scripted(PASS=b"-ERR [IN-USE] locked\r\n")
        result = await self.fetch(account=account)
        self.assertTrue(result.transient)
        self.assertIn("another session", result.advice)

    async def test_the_reason_in_a_refusing_greeting_is_shown(self) -> None:
        _script, account = self.scripted(greeting=b"-ERR down for repair\r\n")
        self.assertIn("down for repair", str((await self.fetch(account=account)).problem))


class WatchTests(FetchCase):
    """Periodic fetches."""

    async def test_new_mail_is_fetched_as_it_comes_until_it_is_stopped(self) -> None:
        results: list[FetchResult] = []
        watching = deferToThread(self.client.fetcher.watch, [self.account], 0.01, results.append)
        while not results:
            await _turn()
        self.house.store.put(self.house.alice, b"Subject: new\r\n\r\n")
        while not any(len(one.keys) == 1 for one in results):
            await _turn()
        self.client.fetcher.stop()
        await watching
        self.assertEqual(len(self.client.messages()), 4)


async def _turn() -> None:
    """Let the reactor turn once."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.001, turned.callback, None)
    await turned
