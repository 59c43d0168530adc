"""The queue runner while its leases are uncertain, because the node may have lost its lock."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.store.queue_house import System


class UncertainLeases(SynchronousTestCase):
    """The node has one message under way to a slow host, and others that wait behind it."""

    def setUp(self) -> None:
        self.system = System()
        self.system.relay.hanging.add("slow.test")
        self.system.accept("bob@slow.test")

    def sent(self) -> list[str]:
        """Return the recipients to whom deliveries were begun."""
        return [to for _, recipients in self.system.relay.attempts for to in recipients]

    def test_no_delivery_begins_until_the_lock_is_certain_again(self) -> None:
        self.system.store.queue.held = None
        self.system.accept("carol@away.test")
        self.system.pass_time(5, 1.0)
        self.assertEqual(self.sent(), ["bob@slow.test"])
        self.system.store.queue.held = 1
        self.system.pass_time(2, 1.0)
        self.assertEqual(self.sent(), ["bob@slow.test", "carol@away.test"])

    def test_a_delivery_may_end_only_in_the_tenure_in_which_it_began(self) -> None:
        [transmission] = self.system.relay.transmissions
        for tenure, may_end in ((1, True), (None, False), (2, False), (1, True)):
            self.system.store.queue.held = tenure
            self.assertIs(transmission.may_end(), may_end)

    def test_what_another_node_took_meanwhile_is_not_sent(self) -> None:
        for number in range(3):
            self.system.accept(f"user{number}@slow.test")
        self.assertEqual(len(self.sent()), 1, "the window of a new host is one delivery")
        self.system.store.queue.held = None
        taken = self.system.store.waiting[1]
        self.assertIsNotNone(taken.lease)
        taken.lease = 999
        self.system.pass_time(3, 1.0)
        self.system.store.queue.held = 2
        self.system.pass_time(2, 1.0)
        self.system.relay.hanging.clear()
        self.system.relay.release_held()
        self.system.pass_time(5, 1.0)
        self.assertEqual(self.system.store.waiting, [taken])
        self.assertEqual(sorted(self.sent()), ["bob@slow.test", "user1@slow.test", "user2@slow.test"])

    def test_rows_that_another_node_left_are_leased_at_once(self) -> None:
        self.system.pass_time(2, 1.0)
        self.system.accept("carol@away.test", wake=False)
        self.system.store.queue.on_returned()
        self.assertEqual(self.sent()[-1], "carol@away.test")
