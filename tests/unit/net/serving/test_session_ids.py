"""Each session has an id of its own in the log."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.session_ids import session_names


class SessionNamesTests(SynchronousTestCase):
    """One message is one grep."""

    def test_every_session_has_a_name_of_its_own(self) -> None:
        one, other = session_names(), session_names()
        names = [one(), one(), other(), other()]
        self.assertEqual(len(set(names)), 4)
