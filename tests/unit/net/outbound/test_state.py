"""An outbound connection changes state only by its transition table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.outbound.state import TAKES_MAIL, TRANSITIONS, UNPROVEN, Event, State, after


class TransitionTests(SynchronousTestCase):
    """The table as a whole; tests of net.outbound.pool and net.outbound.connection walk through it."""

    def test_every_state_is_reached_and_can_end(self) -> None:
        reached, walk = {State.OPENING}, [State.OPENING]
        while walk:
            for following in TRANSITIONS[walk.pop()].values():
                if following not in reached:
                    reached.add(following)
                    walk.append(following)
        self.assertEqual(reached, set(State))
        for state in State:
            self.assertIs(after(state, Event.ENDED), State.OVER)

    def test_an_end_is_final(self) -> None:
        self.assertEqual(set(TRANSITIONS[State.OVER].values()), {State.OVER})

    def test_the_owner_may_give_its_orders_in_every_state(self) -> None:
        """The owner does not see the state, so neither order may be a mistake."""
        for state in State:
            for order in (Event.RETIRED, Event.SHUT_DOWN):
                self.assertIn(after(state, order), State)

    def test_mail_is_taken_only_behind_the_login(self) -> None:
        for state in UNPROVEN:
            self.assertNotIn(Event.BEGAN, TRANSITIONS[state])
        for state in TAKES_MAIL:
            self.assertIs(after(state, Event.BEGAN), State.BUSY)
        for state in (State.SHUTTING_DOWN, State.OVER):
            self.assertRaises(RuntimeError, after, state, Event.BEGAN)

    def test_only_an_idle_connection_is_woken(self) -> None:
        self.assertEqual([state for state in State if Event.WOKEN in TRANSITIONS[state]], [State.IDLE])

    def test_a_mistake_names_state_and_event(self) -> None:
        error = self.assertRaises(RuntimeError, after, State.OVER, Event.USABLE)
        self.assertEqual(str(error), "an outbound connection that is over cannot be told: usable")
