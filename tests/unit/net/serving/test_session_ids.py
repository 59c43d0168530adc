"""Session ids are unique in the log."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.session_ids import session_ids


class SessionIdTests(SynchronousTestCase):
    """One grep finds all events of a session."""

    def test_every_session_has_its_own_id(self) -> None:
        one, other = session_ids(), session_ids()
        names = [one(), one(), other(), other()]
        self.assertEqual(len(set(names)), 4)
