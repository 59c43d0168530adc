"""Contract of every store: the queue of recipients on other hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from emailsys.interfaces import DelayRule, IQueue, ISentCounts, SentCount, Settlement, StoreError
from emailsys.interfaces.operators import EventKind, QueueChange, QueueFilter, RowState
from emailsys.mail.address import Address
from emailsys.mail.envelope import BodyType, Recipient, RemoteRoute
from tests.contract.mail import ARRIVED, CAROL, MailCase, envelope, remote

DAVE = Address("Dave", "example.net")
ERIN = Address("erin", "example.net")
# The arrival of the mail is that much later than the start of the wall clock.
WALL_BEFORE_ARRIVED = ARRIVED - datetime(2026, 1, 1, tzinfo=UTC)


def wall(clock: Clock) -> datetime:
    """The wall clock of the store."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock.seconds())


class QueueContract(MailCase):
    """The tests. `test_store_contract` has a subclass for each engine."""

    async def test_the_store_implements_its_interfaces(self) -> None:
        verifyObject(IQueue, self.store.queue)

    async def test_an_accepted_remote_recipient_is_due_at_once(self) -> None:
        queue_id = await self.send(b"hello\r\n", envelope(remote(DAVE), smtputf8=True))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.queue_id, queue_id)
        self.assertEqual((row.reverse_path, row.forward_path), (CAROL, DAVE))
        self.assertEqual((row.arrived_at, row.octets, row.attempts), (ARRIVED, 7, 0))
        self.assertEqual((row.parameters.body, row.parameters.smtputf8), (BodyType.EIGHT_BIT_MIME, True))

    async def test_null_reverse_path_stays_null(self) -> None:
        await self.send(b"bounce\r\n", envelope(remote(DAVE), reverse_path=None))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertIsNone(row.reverse_path)

    async def test_each_recipient_has_its_own_due_date(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE), remote(ERIN)))
        rows = await self.store.queue.lease(10, 60)
        self.assertEqual({row.forward_path for row in rows}, {DAVE, ERIN})
        self.assertEqual(len({row.row_id for row in rows}), 2)

    async def test_a_leased_recipient_is_not_leased_again_until_the_lease_ends(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (first,) = await self.store.queue.lease(10, 60)
        self.clock.advance(59)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.clock.advance(1)
        (second,) = await self.store.queue.lease(10, 60)
        self.assertEqual(second.row_id, first.row_id)
        self.assertNotEqual(second.lease, first.lease)

    async def test_the_longest_due_come_first_and_no_more_than_asked_for(self) -> None:
        for name in ("a", "b", "c"):
            await self.send(b"x\r\n", envelope(remote(Address(name, "example.net"))))
            self.clock.advance(1)
        rows = await self.store.queue.lease(2, 60)
        self.assertEqual([row.forward_path.local for row in rows], ["a", "b"])

    async def test_a_delay_rule_reschedules_due_rows_without_an_attempt(self) -> None:
        """Only mail between the two domains is postponed. Other due mail behind it in the queue is leased."""
        for _ in range(3):
            await self.send(b"x\r\n", envelope(remote(DAVE)))
            await self.send(b"x\r\n", envelope(remote(DAVE), reverse_path=None))
        await self.send(b"x\r\n", envelope(remote(Address("frank", "example.com"))))
        now = await self.store.queue.next_due()
        assert now is not None
        until = now + timedelta(seconds=300)
        self.clock.advance(1)
        wait = DelayRule(lambda attempts, arrived_at, warned: until)
        later = {(CAROL.domain, DAVE.domain): wait, (None, "example.com"): wait}
        rows = await self.store.queue.lease(4, 60, later)
        self.assertEqual(
            [(row.reverse_path, row.forward_path.domain) for row in rows],
            [(None, "example.net")] * 3 + [(CAROL, "example.com")],
        )
        await self.store.queue.settle([Settlement(row) for row in rows])
        self.assertEqual(await self.store.queue.next_due(), until)
        self.clock.advance(299)
        again = await self.store.queue.lease(10, 60)
        self.assertEqual([(row.domains, row.attempts) for row in again], [((CAROL.domain, DAVE.domain), 0)] * 3)

    async def test_a_delay_rule_with_a_reply_counts_an_attempt_and_appears_in_the_trace(self) -> None:
        """Rows are leased only if their sender must be notified."""
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE)))
        now = await self.store.queue.next_due()
        assert now is not None
        due = now + timedelta(seconds=300)
        told: list[tuple[str, Address]] = []
        seen: list[tuple[int, datetime, bool]] = []

        def due_at(attempts: int, arrived_at: datetime, warned: bool) -> datetime | None:
            seen.append((attempts, arrived_at, warned))
            return due if attempts == 0 else None

        def tell(*about: Any) -> None:
            told.append(about)

        later = {(CAROL.domain, DAVE.domain): DelayRule(due_at, "451 4.4.1 down", "mx [192.0.2.9]", tell)}
        self.assertEqual(list(await self.store.queue.lease(10, 60, later)), [])
        self.assertEqual((seen, told), ([(0, ARRIVED, False)], [(queue_id, DAVE)]))
        (entry,) = await self.store.queue_operations.entries(QueueFilter(), 10)
        self.assertEqual((entry.attempts, entry.due_at, entry.state), (1, due, RowState.WAITING))
        self.assertEqual((entry.last_reply, entry.last_remote), ("451 4.4.1 down", "mx [192.0.2.9]"))
        (life,) = (await self.store.trace.search(queue_id, 1)).lives
        self.assertEqual([one.reply for one in life.happenings if one.kind is EventKind.DELAYED], ["451 4.4.1 down"])
        self.clock.advance(300)
        (row,) = await self.store.queue.lease(10, 60, later)
        self.assertEqual(row.attempts, 1)

    async def test_rows_delayed_for_several_hosts_get_the_date_and_reply_of_their_host(self) -> None:
        for domain in ("down.example", "silent.example", "away.example"):
            await self.send(b"x\r\n", envelope(remote(Address("bob", domain))))
        now = await self.store.queue.next_due()
        assert now is not None
        self.clock.advance(1)
        soon, late = now + timedelta(seconds=10), now + timedelta(seconds=300)
        later = {
            (CAROL.domain, "down.example"): DelayRule(lambda *_: late, "451 4.4.1 down", "mx.down.example"),
            (CAROL.domain, "silent.example"): DelayRule(lambda *_: soon),
            (CAROL.domain, "away.example"): DelayRule(lambda *_: late, "451 4.4.1 away", "mx.away.example"),
        }
        self.assertEqual(list(await self.store.queue.lease(10, 60, later)), [])
        self.assertEqual(
            {
                one.forward_path.domain: (one.due_at, one.attempts, one.last_reply, one.last_remote)
                for one in await self.store.queue_operations.entries(QueueFilter(), 10)
            },
            {
                "down.example": (late, 1, "451 4.4.1 down", "mx.down.example"),
                "silent.example": (soon, 0, "", ""),
                "away.example": (late, 1, "451 4.4.1 away", "mx.away.example"),
            },
        )

    async def test_a_settled_recipient_is_gone(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(await self.store.queue.settle([Settlement(row, reply="250 ok")]), 1)
        self.clock.advance(3600)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue.settle([Settlement(row)]), 0)

    async def test_a_delayed_recipient_is_due_again_when_told(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        due = await self.store.queue.next_due()
        assert due is not None
        later = due + timedelta(seconds=240)
        self.assertEqual(await self.store.queue.settle([Settlement(row, later, "451 try later")]), 1)
        self.assertEqual(await self.store.queue.next_due(), later)
        self.clock.advance(299)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.clock.advance(1)
        (again,) = await self.store.queue.lease(10, 60)
        self.assertEqual((again.row_id, again.attempts), (row.row_id, 1))

    async def test_a_released_recipient_is_due_without_an_attempt(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        rows = await self.store.queue.lease(10, 60)
        await self.store.queue.release(rows, wall(self.clock))
        (again,) = await self.store.queue.lease(10, 60)
        self.assertEqual((again.row_id, again.attempts), (rows[0].row_id, 0))

    async def test_a_settlement_without_its_lease_changes_nothing(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (lost,) = await self.store.queue.lease(10, 60)
        self.clock.advance(60)
        (held,) = await self.store.queue.lease(10, 60)
        self.assertEqual(await self.store.queue.settle([Settlement(lost)]), 0)
        await self.store.queue.release([lost], wall(self.clock))
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue.settle([Settlement(held)]), 1)

    async def test_an_empty_queue_is_never_due(self) -> None:
        self.assertIsNone(await self.store.queue.next_due())
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])

    async def test_the_body_is_read_in_pieces_until_it_is_settled(self) -> None:
        body = b"0123456789abcdef" * 40_000
        await self.send(body, envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        pieces = [piece async for piece in self.store.queue.pieces(row)]
        self.assertTrue(b"".join(pieces) == body)
        self.assertLessEqual(max(map(len, pieces)), 256 * 1024)
        await self.store.queue.settle([Settlement(row)])

        async def read() -> None:
            async for _piece in self.store.queue.pieces(row):
                pass

        await self.refused(StoreError, read())

    async def test_a_row_held_for_damage_is_not_due_and_has_its_reason(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        [row] = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row, row.arrived_at, "451 it is damaged", hold=True)])
        self.clock.advance(10 * 86_400)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        [entry] = await self.store.queue_operations.entries(QueueFilter(), 10)
        self.assertEqual((entry.state, entry.due_at, entry.last_reply), (RowState.HELD, None, "451 it is damaged"))
        self.assertEqual(await self.store.queue_operations.change(QueueFilter(), QueueChange.RELEASE), 1)
        [again] = await self.store.queue.lease(10, 60)
        self.assertEqual(again.row_id, row.row_id)

    async def test_overdue_time_without_a_lease_does_not_age_a_row(self) -> None:
        """The clock jumped, or the daemon was down. Otherwise such mail would expire at its next failed attempt."""
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        self.clock.advance(400 * 86_400)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.arrived_at, ARRIVED)
        self.assertEqual(row.age_start, ARRIVED - WALL_BEFORE_ARRIVED + timedelta(days=400))

    async def test_overdue_time_does_not_age_a_postponed_row(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        self.clock.advance(400 * 86_400)
        seen: list[datetime] = []

        def due_at(attempts: int, age_start: datetime, warned: bool) -> datetime | None:
            seen.append(age_start)
            return None

        await self.store.queue.lease(10, 60, {(CAROL.domain, DAVE.domain): DelayRule(due_at)})
        self.assertEqual(seen, [ARRIVED - WALL_BEFORE_ARRIVED + timedelta(days=400)])

    async def test_a_lease_that_ended_long_ago_does_not_age_its_row(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        rows = await self.store.queue.lease(10, 60)
        self.clock.advance(60 + 10 * 86_400)
        await self.store.queue.release(rows, wall(self.clock))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.age_start, ARRIVED - WALL_BEFORE_ARRIVED + timedelta(days=10, seconds=60))

    async def test_a_jump_of_the_clock_before_a_release_does_not_age_the_row(self) -> None:
        """The lease was renewed after the jump, so that its end does not show it."""
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        rows = await self.store.queue.lease(10, 60)
        before = wall(self.clock)
        self.clock.advance(10 * 86_400)
        await self.store.queue.renew(rows, 600)
        await self.store.queue.release(rows, before)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.age_start, ARRIVED - WALL_BEFORE_ARRIVED + timedelta(days=10))

    async def test_a_row_that_is_looked_at_in_time_ages(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        due = await self.store.queue.next_due()
        assert due is not None
        await self.store.queue.settle([Settlement(row, due + timedelta(hours=4), "451 later")])
        self.clock.advance(60 + 4 * 3600)
        (again,) = await self.store.queue.lease(10, 60)
        self.assertEqual(again.age_start, ARRIVED)

    async def test_dates_that_no_schedule_sets_are_brought_back(self) -> None:
        """They were set while the clock was 400 days ahead. Rows that are held stay held."""
        await self.send(b"held\r\n", envelope(remote(ERIN)))
        await self.store.queue_operations.change(QueueFilter(), QueueChange.HOLD)
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 60)
        due = await self.store.queue.next_due()
        assert due is not None
        await self.store.queue.settle([Settlement(row, due + timedelta(days=400), "451 later")])
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.assertEqual(await self.store.queue.correct_dates(5 * 3600), 1)
        self.assertEqual(await self.store.queue.correct_dates(5 * 3600), 0)
        (again,) = await self.store.queue.lease(10, 60)
        self.assertEqual((again.row_id, again.attempts, again.age_start), (row.row_id, 1, ARRIVED))

    async def test_a_lease_that_lasts_too_long_is_shortened_and_stays_with_its_owner(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        (row,) = await self.store.queue.lease(10, 400 * 86_400)
        self.assertEqual(await self.store.queue.correct_dates(5 * 3600), 1)
        self.assertEqual(list(await self.store.queue.lease(10, 60)), [])
        self.clock.advance(5 * 3600)
        (again,) = await self.store.queue.lease(10, 60)
        self.assertEqual(again.row_id, row.row_id)

    async def test_the_age_of_mail_from_the_future_begins_now(self) -> None:
        future = replace(envelope(remote(DAVE)), arrived_at=ARRIVED + timedelta(days=400))
        await self.send(b"x\r\n", future)
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.age_start, ARRIVED - WALL_BEFORE_ARRIVED)

    async def test_an_address_that_several_recipients_lead_to_gets_the_message_once(self) -> None:
        """A nested alias and its +tags made 271,000 rows of one message."""
        team = [
            Recipient(Address(f"all+{n}", "example.test"), (RemoteRoute(DAVE, True), RemoteRoute(ERIN, True)))
            for n in range(20)
        ]
        other_case = Address(DAVE.local, DAVE.domain.upper())
        queue_id = await self.send(b"x\r\n", envelope(*team, remote(other_case)))
        rows = await self.store.queue.lease(100, 60)
        self.assertEqual({row.forward_path for row in rows}, {DAVE, ERIN})
        self.assertEqual(len(rows), 2)
        await self.store.queue.settle([Settlement(row) for row in rows])
        self.assertEqual((await self.store.verification.check(None, 60)).flaws, ())
        (life,) = (await self.store.trace.search(queue_id, 1)).lives
        self.assertEqual(len([one for one in life.happenings if one.kind is EventKind.RELAYED]), 2)

    async def test_a_recipient_beyond_a_sending_limit_is_held_until_it_is_released(self) -> None:
        why = "held here: carol@example.org has reached its limit of 500 recipients an hour"
        await self.send(b"x\r\n", envelope(replace(remote(DAVE), hold=why), remote(ERIN)))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual(row.forward_path, ERIN)
        (entry,) = await self.store.queue_operations.entries(QueueFilter(state=RowState.HELD), 10)
        self.assertEqual((entry.forward_path, entry.due_at, entry.last_reply), (DAVE, None, why))
        self.clock.advance(6 * 86_400)
        self.assertEqual(
            await self.store.queue_operations.change(QueueFilter(sender=str(CAROL)), QueueChange.RELEASE), 1
        )
        (row,) = [row for row in await self.store.queue.lease(10, 60) if row.forward_path == DAVE]
        self.assertEqual(row.age_start, ARRIVED - WALL_BEFORE_ARRIVED + timedelta(days=6), "it has not been tried yet")

    async def test_counts_of_what_was_sent_are_added_up_by_hour_and_old_ones_forgotten(self) -> None:
        counts = self.store.sent_counts
        verifyObject(ISentCounts, counts)
        await counts.add([SentCount("b@x", 10, 1, 5, 2), SentCount("a@x", 10, 1, 1)], 0)
        await counts.add([SentCount("b@x", 10, 2, 7, 1), SentCount("b@x", 11, 1, 1)], 0)
        self.assertEqual(
            set(await counts.load(10)),
            {SentCount("a@x", 10, 1, 1), SentCount("b@x", 10, 3, 12, 2), SentCount("b@x", 11, 1, 1)},
        )
        await counts.add([], 11)
        self.assertEqual(list(await counts.load(0)), [SentCount("b@x", 11, 1, 1)])

    async def test_what_a_decision_adds_to_counts_depends_on_what_was_counted_before(self) -> None:
        counts = self.store.sent_counts
        await counts.add([SentCount("a@x", 9, 1, 1), SentCount("a@x", 10, 1, 2, 1), SentCount("b@x", 10, 9, 9)], 0)
        # By a clock that was ahead.
        await counts.add([SentCount("c@x", 1000, 1, 4)], 0)
        seen: list[set[SentCount]] = []

        def decide(found: Sequence[SentCount]) -> tuple[Sequence[SentCount], str]:
            seen.append({count for count in found if count.messages})
            return [SentCount("c@x", 11, 1, 7), SentCount("a@x", 10, 2, 3)], "decided"

        self.assertEqual(await counts.count(["c@x", "a@x"], 11, 10, decide), "decided")
        self.assertEqual(seen, [{SentCount("a@x", 10, 1, 2, 1), SentCount("c@x", 1000, 1, 4)}])
        kept = {count for count in await counts.load(0) if count.messages}
        expected = {SentCount("a@x", 10, 3, 5, 1), SentCount("b@x", 10, 9, 9), SentCount("c@x", 11, 2, 11)}
        self.assertEqual(kept, expected)
