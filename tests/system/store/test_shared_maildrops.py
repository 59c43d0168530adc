"""Maildrops on several nodes: one session at a time, and a silent one loses its maildrop to a login on any node."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.threads import deferToThread

from emailsys.interfaces import MaildropInUse, MaildropLost
from emailsys.store.maildrop import requests
from tests.contract.engines import PostgreSQLCase
from tests.contract.mail import MailCase, envelope, local


class MaildropTests(PostgreSQLCase, MailCase):
    """Two nodes on one server."""

    def second_node(self) -> Any:
        return self.open_again(self.url.render_as_string(hide_password=False))

    async def count(self, account: Any, store: Any = None) -> int:
        maildrop = await (store or self.store).maildrops.open(account.account_id)
        count = len(maildrop.listMessages())
        maildrop.release()
        return count

    async def taken_over(self, account: Any, store: Any, *living: Any) -> Any:
        """Open a maildrop on a node, again and again until it is free. The clock may be too fast for an answer."""
        while True:
            with contextlib.suppress(MaildropInUse):
                return await self.while_time_passes(store.maildrops.open(account.account_id), *living)

    async def test_a_maildrop_that_was_taken_over_here_is_free_elsewhere_once_it_is_released(self) -> None:
        alice, _bob = await self.users()
        silent = await self.open(alice)
        self.clock.advance(60)
        taken = await self.open(alice)
        silent.release()
        other = self.second_node()
        opening = self.while_time_passes(other.maildrops.open(alice.account_id), self.store, other)
        await self.refused(MaildropInUse, opening)
        taken.release()
        await self.store.close()
        self.assertEqual(await self.count(alice, other), 0)

    async def test_a_maildrop_is_open_on_one_node_at_a_time(self) -> None:
        alice, _bob = await self.users()
        other = self.second_node()
        maildrop = await self.open(alice)
        answers: list[str] = []
        other.notices.hear("kept", answers.append)
        # The node with the session says so. This clock may be too fast for its answer.
        while not answers:
            maildrop.touch()
            opening = self.while_time_passes(other.maildrops.open(alice.account_id), self.store, other)
            await self.refused(MaildropInUse, opening)
        self.assertEqual(answers[0], str(alice.account_id))
        maildrop.release()
        # The lock is given back a moment later, by a thread of its own; opening here waits for its turn there.
        (await self.open(alice)).release()
        await self.store.close()
        self.assertEqual(await self.count(alice, other), 0)

    async def test_a_silent_session_on_another_node_gives_up_its_maildrop(self) -> None:
        """As on one node: its deletes are void, and its next command gets an error."""
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        other = self.second_node()
        silent = await self.open(alice)
        silent.deleteMessage(0)
        self.clock.advance(60)
        taken = await self.taken_over(alice, other, self.store, other)
        await self.refused(MaildropLost, silent.sync())
        self.assertEqual(len(taken.listMessages()), 1)
        # The first node asks in its turn, and its former session has no say in that.
        taken.touch()
        opening = self.while_time_passes(self.store.maildrops.open(alice.account_id), self.store, other)
        await self.refused(MaildropInUse, opening)
        silent.release()
        taken.deleteMessage(0)
        await taken.sync()
        taken.release()
        await other.close()
        self.assertEqual(await self.count(alice), 0)

    async def test_a_session_of_a_node_that_hangs_loses_its_maildrop(self) -> None:
        """Only once the node has given no sign of life for as long as a session may be silent."""
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        held = await self.open(alice)
        held.deleteMessage(0)
        # The clock goes on for the second node only, so the first gives no sign of life.
        frozen, self.clock.calls = self.clock.calls, []
        other = self.open_again(self.url.render_as_string(hide_password=False), takeover_after=1.0)
        self.addCleanup(self.clock.calls.extend, frozen)
        await self.refused(MaildropInUse, self.while_time_passes(other.maildrops.open(alice.account_id), other))
        self.patch(requests, "_HANGS_AFTER", 0.0)
        taken = await self.taken_over(alice, other, other)
        self.assertEqual(other.intake.telemetry.counters["maildrop-holder-ended"], 1)
        await self.refused(MaildropLost, held.sync())
        self.assertEqual(len(taken.listMessages()), 1)
        taken.release()
        held.release()
        await other._locks.settle()
        # The node goes on, with its number.
        self.assertEqual(await self.count(alice), 1)

    async def test_a_login_that_ends_while_it_waits_for_another_node_leaves_the_maildrop_free(self) -> None:
        alice, _bob = await self.users()
        other = self.second_node()
        maildrop = await self.open(alice)
        asked = Deferred.fromCoroutine(other.maildrops.open(alice.account_id))
        await other._locks.settle()
        asked.cancel()
        self.assertIs(type((await DeferredList([asked], consumeErrors=True))[0][1].value), CancelledError)
        maildrop.release()
        await self.store._locks.settle()
        self.assertEqual(await self.count(alice, other), 0)

    async def test_of_two_logins_at_once_on_other_nodes_one_gets_the_maildrop(self) -> None:
        """Both hear that the silent session gave it up."""
        alice, _bob = await self.users()
        nodes = [self.second_node(), self.second_node()]
        silent = await self.open(alice)
        taken: list[Any] = []
        while not taken:
            self.clock.advance(60)
            asked = [Deferred.fromCoroutine(node.maildrops.open(alice.account_id)) for node in nodes]

            async def both(asked: list[Deferred[Any]] = asked) -> Any:
                return await DeferredList(asked, consumeErrors=True)

            outcomes = await self.while_time_passes(both(), self.store, *nodes)
            for is_open, outcome in outcomes:
                if is_open:
                    taken.append(outcome)
                else:
                    self.assertIs(outcome.type, MaildropInUse)
        self.assertEqual(len(taken), 1)
        self.assertTrue(silent._lost)
        taken[0].release()

    async def test_a_node_whose_lock_connection_is_cut_while_it_asks_gets_the_maildrop(self) -> None:
        """It may miss the answer. Without one, it sees that nobody has the lock."""
        alice, _bob = await self.users()
        other = self.second_node()
        await self.open(alice)
        self.clock.advance(60)
        asked = Deferred.fromCoroutine(other.maildrops.open(alice.account_id))
        await other._locks.settle()
        cut = other._locks.connection
        await deferToThread(lambda: cut.submit(cut._drop).result())

        async def answer() -> Any:
            return await asked

        with contextlib.suppress(MaildropInUse):
            (await self.while_time_passes(answer(), self.store, other)).release()
        taken = await self.taken_over(alice, other, self.store, other)
        taken.release()
