"""Contract of every store: notices in the same commit, the trace of a message, the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from zope.interface.verify import verifyObject

from emailsys.interfaces import DelayRule, Fate, ISentKeys, Notice, SentKey, Settlement
from emailsys.interfaces.operators import EventKind, ITrace, IVerification, Life, QueueChange, QueueFilter
from emailsys.mail.address import Address
from emailsys.mail.dsn_request import MessageRequest, Notify, RecipientRequest, Return, original_recipient
from emailsys.mail.envelope import Client, Envelope, LocalRoute, MailParameters, Recipient, RemoteRoute
from tests.contract.mail import ALICE, ARRIVED, BOB, CAROL, MailCase, envelope, local, remote

DAVE = Address("Dave", "example.net")
ERIN = Address("erin", "example.net")
CLIENT = Client("s-1", "192.0.2.1", "client.example.org", "ESMTPS", "TLSv1.3", CAROL)
ALL = QueueFilter()


class LedgerContract(MailCase):
    """The tests. `test_store_contract` has a subclass for each engine."""

    async def lives(self, query: str, limit: int, since: datetime | None = None) -> Sequence[Life]:
        found = await self.store.trace.search(query, limit, since)
        return tuple(found.lives)

    async def life(self, query: str) -> Life:
        (life,) = await self.lives(query, 10)
        assert isinstance(life, Life)
        return life

    def kinds(self, life: Life) -> list[EventKind]:
        return [one.kind for one in life.happenings]

    async def ends(self) -> dict[str, int]:
        """Count recipients by their end. The ledger must have no flaws."""
        cursor, first = None, True
        by_end: dict[str, int] = {}
        while first or cursor is not None:
            first = False
            part = await self.store.verification.check(cursor, 10)
            self.assertEqual(part.flaws, ())
            for place, count in part.by_end.items():
                by_end[place] = by_end.get(place, 0) + count
            cursor = part.cursor
        return by_end

    def notice(self, *recipients: Recipient) -> Notice:
        return Notice(Envelope(None, recipients, ARRIVED), b"Subject: notice\r\n\r\nit failed\r\n")

    async def test_the_key_of_a_message_that_was_sent_by_http_is_found(self) -> None:
        """Only by the store: operators do not see it."""
        verifyObject(ISentKeys, self.store.sent_keys)
        alice, _ = await self.users()
        keyed = Client("s", "192.0.2.1", account=alice.address, sent_key="k-1")
        other = replace(keyed, sent_key="", session='"sent_key":"k-2"')
        queue_id = await self.send(b"x\r\n", replace(envelope(local(alice)), client=keyed, message_id="<m@x>"))
        await self.send(b"y\r\n", replace(envelope(local(alice)), client=other))
        await self.send(b"z\r\n", envelope(local(alice)))
        for at, found in (
            (datetime(2026, 1, 1, tzinfo=UTC), [SentKey("k-1", queue_id, "<m@x>", 3)]),
            (ARRIVED + timedelta(days=1), []),
        ):
            self.assertEqual(await self.store.sent_keys.since(at), found)
        self.assertNotIn("k-1", str((await self.life(queue_id)).client))
        second = await self.send(b"xx\r\n", replace(envelope(local(alice)), client=replace(keyed, sent_key="k-3")))
        keys = await self.store.sent_keys.since(datetime(2026, 1, 1, tzinfo=UTC))
        self.assertEqual([(key.key, key.queue_id) for key in keys], [("k-1", queue_id), ("k-3", second)])

    async def test_the_store_implements_its_interfaces(self) -> None:
        verifyObject(ITrace, self.store.trace)
        verifyObject(IVerification, self.store.verification)

    async def test_dsn_requests_of_the_sender_reach_the_leased_row(self) -> None:
        dsn = RecipientRequest(Notify.SUCCESS | Notify.DELAY, original_recipient(Address("dävid", "example.net")))
        to = Recipient(DAVE, (RemoteRoute(ERIN, forwarded=True),), dsn)
        message = MailParameters(dsn=MessageRequest(Return.HEADERS, "QQ+314"))
        await self.send(b"x\r\n", replace(envelope(to, remote(DAVE)), parameters=message))
        asked, silent = sorted(await self.store.queue.lease(10, 60), key=lambda row: not row.forwarded)
        self.assertEqual((asked.forward_path, asked.dsn, asked.forwarded), (ERIN, dsn, True))
        self.assertEqual(asked.parameters.dsn, MessageRequest(Return.HEADERS, "QQ+314"))
        self.assertEqual((silent.dsn, silent.forwarded), (RecipientRequest(), False))

    async def test_notify_never_differs_from_no_notify(self) -> None:
        await self.send(b"x\r\n", envelope(Recipient(DAVE, (RemoteRoute(DAVE),), RecipientRequest(Notify.NEVER))))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.dsn.notify, Notify.NEVER)

    async def test_warned_stays_recorded_and_a_postponed_row_counts_no_attempt(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        now = await self.store.queue.next_due()
        assert now is not None
        await self.store.queue.settle([Settlement(row, now, "451 later", remote="mx [192.0.2.9]", warned=True)])
        self.clock.advance(60)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual((row.attempts, row.warned), (1, True))
        await self.store.queue.settle([Settlement(row, now, tried=False)])
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual((row.attempts, row.warned), (1, True))
        (entry,) = await self.store.queue_operations.entries(ALL, 10)
        self.assertEqual((entry.last_reply, entry.last_remote), ("451 later", "mx [192.0.2.9]"))

    async def test_a_renewed_lease_lasts_and_a_lost_one_is_told(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (lost,) = await self.store.queue.lease(10, 60)
        self.clock.advance(60)
        (held,) = await self.store.queue.lease(10, 60)
        self.clock.advance(50)
        self.assertEqual(list(await self.store.queue.renew([lost, held], 60)), [lost])
        self.clock.advance(50)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue.settle([Settlement(held)]), 1)

    async def test_a_notice_comes_in_the_commit_that_ends_the_recipient(self) -> None:
        alice, _bob = await self.users()
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE), reverse_path=ALICE))
        (row,) = await self.store.queue.lease(10, 60)
        failed = Settlement(row, reply="550 5.1.1 no", fate=Fate.FAILED, remote="mx.example.net [192.0.2.9]")
        self.assertEqual(await self.store.queue.settle([failed], [self.notice(local(alice))]), 1)
        text = await self.fetch(await self.open(alice), 0)
        self.assertTrue(text.startswith(b"Return-Path: <>\r\nDelivered-To: alice@example.test\r\nSubject: notice"))
        life = await self.life(queue_id)
        self.assertEqual(self.kinds(life), [EventKind.ACCEPTED, EventKind.QUEUED, EventKind.FAILED, EventKind.NOTICE])
        self.assertEqual((await self.life(life.happenings[-1].detail)).cause, queue_id)
        self.assertEqual(await self.ends(), {"failed with a DSN": 1, "maildrop": 1})

    async def test_a_settlement_is_recorded_for_its_message_whatever_its_text_says(self) -> None:
        alice, _bob = await self.users()
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE), reverse_path=ALICE))
        (row,) = await self.store.queue.lease(10, 60)
        delayed = Settlement(replace(row, queue_id="?"), ARRIVED, reply="451 later")
        await self.store.queue.settle([delayed])
        self.clock.advance(86_400)
        (row,) = await self.store.queue.lease(10, 60)
        failed = Settlement(replace(row, queue_id="?"), fate=Fate.FAILED, reply="550 no")
        await self.store.queue.settle([failed], [self.notice(local(alice))])
        found = [EventKind.ACCEPTED, EventKind.QUEUED, EventKind.DELAYED, EventKind.FAILED, EventKind.NOTICE]
        self.assertEqual(self.kinds(await self.life(queue_id)), found)

    async def test_a_settlement_without_its_lease_sends_no_notice(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(remote(DAVE), reverse_path=ALICE))
        (lost,) = await self.store.queue.lease(10, 60)
        self.clock.advance(60)
        await self.store.queue.lease(10, 60)
        notice = self.notice(local(alice))
        self.assertEqual(await self.store.queue.settle([Settlement(lost, fate=Fate.FAILED)], [notice]), 0)
        self.assertEqual((await self.open(alice)).listMessages(), [])

    async def test_a_notice_may_wait_in_the_queue_itself(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row, fate=Fate.FAILED)], [self.notice(remote(CAROL))])
        (notice,) = await self.store.queue.lease(10, 60)
        self.assertEqual((notice.reverse_path, notice.forward_path), (None, CAROL))
        octets = b"".join([piece async for piece in self.store.queue.pieces(notice)])
        self.assertIn(b"it failed", octets)
        self.assertEqual(notice.octets, len(octets))

    async def test_a_message_may_bring_its_own_notices(self) -> None:
        alice, bob = await self.users()
        incoming = self.store.intake.begin()
        incoming.write(b"x\r\n")
        await incoming.commit(envelope(local(bob), reverse_path=ALICE), [self.notice(local(alice))])
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)
        life = await self.life(incoming.queue_id)
        self.assertIn(EventKind.NOTICE, self.kinds(life))

    async def test_the_life_of_a_message_is_told_from_its_acceptance_on(self) -> None:
        alice, _bob = await self.users()
        to = replace(envelope(local(alice), remote(DAVE)), client=CLIENT, message_id="<abc@client.example>")
        queue_id = await self.send(b"hello\r\n", to)
        life = await self.life(queue_id)
        self.assertEqual((life.queue_id, life.reverse_path, life.octets), (queue_id, str(CAROL), 7))
        self.assertEqual(life.header_id, "<abc@client.example>")
        assert life.client is not None
        self.assertEqual((life.client["ip"], life.client["account"]), ("192.0.2.1", str(CAROL)))
        self.assertEqual(life.recipients, (str(ALICE), str(DAVE)))
        self.assertEqual(self.kinds(life), [EventKind.ACCEPTED, EventKind.STORED, EventKind.QUEUED])
        self.assertEqual((life.stored, life.queued), (1, 1))
        self.assertEqual({one.at for one in life.happenings}, {ARRIVED})

    async def test_a_message_is_found_by_its_id_its_message_id_and_its_addresses(self) -> None:
        alice, _bob = await self.users()
        self.clock.advance(13 * 3600)
        away = Recipient(ALICE, (LocalRoute(alice.account_id), RemoteRoute(ERIN, forwarded=True)))
        to = replace(envelope(away), message_id="<abc@client.example>")
        queue_id = await self.send(b"hello\r\n", to)
        other = await self.send(b"other\r\n", envelope(remote(DAVE), reverse_path=None))
        for query in (
            queue_id,
            queue_id.upper() if queue_id.islower() else queue_id,
            "<abc@client.example>",
            "abc@client.example",
            "carol@EXAMPLE.org",
            "alice@example.test",
            "erin@example.net",
        ):
            self.assertEqual([life.queue_id for life in await self.lives(query, 10)], [queue_id], query)
        self.assertEqual([one.queue_id for one in await self.lives("dave@example.net", 10)], [other])
        for nobody in ("%@example.net", "nobody@example.net", "<abc@other.example>", "e_in@example.net"):
            self.assertEqual(list(await self.lives(nobody, 10)), [], nobody)

    async def test_the_latest_come_first_and_no_more_than_asked_for(self) -> None:
        ids = []
        for number in range(4):
            ids.append(await self.send(b"%d\r\n" % number, envelope(remote(DAVE))))
            self.clock.advance(1)
        self.assertEqual([one.queue_id for one in await self.lives(str(DAVE), 3)], ids[:0:-1])
        since = ARRIVED + timedelta(days=1)
        self.assertEqual(list(await self.lives(str(DAVE), 3, since)), [])

    async def test_a_search_goes_on_where_its_time_was_over(self) -> None:
        """An operator sees the progress, and mail never waits for the end of the check."""
        ids = []
        for number in range(3):
            ids.append(await self.send(b"%d\r\n" % number, envelope(remote(DAVE))))
            self.clock.advance(1)
        search, cursor, found, looked = self.store.trace.search, None, [], 0
        for _ in range(10):
            part = await search(str(DAVE), 10, None, cursor, 0)
            found += [life.queue_id for life in part.lives]
            looked, cursor = looked + part.looked, part.cursor
            if cursor is None:
                break
            self.assertEqual(part.reached, ARRIVED)
        self.assertEqual((found, looked, cursor), (ids[::-1], 3, None))
        self.assertIsNone((await search(str(DAVE), 1)).cursor)

    async def test_attempts_are_told_with_the_words_of_the_other_host(self) -> None:
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        now = await self.store.queue.next_due()
        assert now is not None
        self.clock.advance(50_000)
        (row,) = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row, now, "451 4.7.1 greylisted", remote="mx", warned=True)])
        self.clock.advance(60)
        (row,) = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row, reply="250 2.0.0 taken", remote="mx")])
        life = await self.life(queue_id)
        self.assertEqual(
            self.kinds(life),
            [
                EventKind.ACCEPTED,
                EventKind.QUEUED,
                EventKind.INTERRUPTED,
                EventKind.DELAYED,
                EventKind.WARNED,
                EventKind.RELAYED,
            ],
            "the first lease ended without a word",
        )
        told = {one.kind: one.reply for one in life.happenings}
        self.assertEqual(told[EventKind.DELAYED], "451 4.7.1 greylisted")
        self.assertEqual(told[EventKind.RELAYED], "250 2.0.0 taken")
        self.assertEqual(life.queued, 0)

    async def test_a_lease_that_ended_without_a_word_is_told_also_where_its_host_is_down_now(self) -> None:
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE)))
        self.clock.advance(50_000)
        await self.store.queue.lease(10, 60)
        self.clock.advance(61)
        reverse = envelope(remote(DAVE)).reverse_path
        domains = (None if reverse is None else reverse.domain, DAVE.domain)
        rule = DelayRule(lambda attempts, arrived_at, warned: ARRIVED + timedelta(days=2))
        self.assertEqual(list(await self.store.queue.lease(10, 60, {domains: rule})), [])
        self.assertEqual(self.kinds(await self.life(queue_id))[2:], [EventKind.INTERRUPTED])

    async def test_the_trace_shows_what_an_operator_did(self) -> None:
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE)))
        self.clock.advance(50_000)
        for change in (QueueChange.RETRY, QueueChange.HOLD, QueueChange.RELEASE, QueueChange.DROP):
            self.assertEqual(await self.store.queue_operations.change(ALL, change), 1)
            self.clock.advance(1)
        self.assertEqual(
            self.kinds(await self.life(queue_id))[2:],
            [EventKind.RETRIED, EventKind.HELD, EventKind.RELEASED, EventKind.DROPPED],
        )

    async def test_the_trace_shows_what_the_owner_of_the_maildrop_did(self) -> None:
        alice, _bob = await self.users()
        queue_id = await self.send(b"x\r\n", envelope(local(alice)))
        self.clock.advance(50_000)
        uid = ""
        for delete in (False, True):
            maildrop = await self.store.maildrops.open(alice.account_id)
            uid = maildrop.getUidl(0).decode()
            await self.fetch(maildrop, 0)
            if delete:
                maildrop.deleteMessage(0)
            await maildrop.sync()
            maildrop.release()
            self.clock.advance(1)
        self.assertEqual(
            self.kinds(await self.life(queue_id)),
            [EventKind.ACCEPTED, EventKind.STORED, EventKind.FETCHED, EventKind.DELETED],
        )
        self.assertEqual([one.uid for one in (await self.life(queue_id)).happenings], ["", "", uid, uid])

    async def test_a_message_read_in_part_is_not_recorded_as_fetched(self) -> None:
        alice, _bob = await self.users()
        queue_id = await self.send(b"x" * 700_000, envelope(local(alice)))
        maildrop = await self.open(alice)
        async for _piece in maildrop.pieces(0):
            break
        await maildrop.sync()
        self.assertNotIn(EventKind.FETCHED, self.kinds(await self.life(queue_id)))

    async def test_every_accepted_recipient_is_in_exactly_one_place(self) -> None:
        alice, bob = await self.users()
        both = Recipient(BOB, (LocalRoute(alice.account_id), LocalRoute(bob.account_id), RemoteRoute(ERIN, True)))
        for number in range(5):
            body = b"%d\r\n" % number * (1 if number else 200_000)
            await self.send(body, envelope(local(alice), both, remote(DAVE)))
        self.assertEqual(await self.ends(), {"maildrop": 10, "queue": 10})
        maildrop = await self.open(alice)
        maildrop.deleteMessage(0)
        maildrop.deleteMessage(3)
        await maildrop.sync()
        maildrop.release()
        rows = await self.store.queue.lease(5, 60)
        fates = (Fate.RELAYED, Fate.FAILED, Fate.FAILED_UNTOLD, Fate.RELAYED)
        await self.store.queue.settle([Settlement(row, fate=fate) for row, fate in zip(rows, fates, strict=False)])
        await self.store.queue_operations.change(QueueFilter(queue_ids=(rows[-1].queue_id,)), QueueChange.DROP)
        dropped = 10 - 4 - len(await self.store.queue_operations.entries(ALL, 100))
        self.assertGreater(dropped, 0)
        self.assertEqual(
            await self.ends(),
            {
                "maildrop": 8,
                "deleted by its owner": 2,
                "relayed": 2,
                "failed with a DSN": 1,
                "failed without a DSN": 1,
                "dropped by an operator": dropped,
                "queue": 6 - dropped,
            },
        )

    async def test_mail_that_an_administrator_purged_is_accounted_for(self) -> None:
        _alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(bob)))
        await self.store.accounts.remove_user(BOB, True)
        self.assertEqual(await self.ends(), {"dropped by an operator": 1})
