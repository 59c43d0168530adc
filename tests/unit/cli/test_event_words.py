"""What `status` says of the counters of a daemon: words, not the names that programs read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.event_words import counters_line, words_for
from tests.stable_names import events


class EventWordsTests(SynchronousTestCase):
    def test_counters_are_told_in_words_the_highest_first(self) -> None:
        line = counters_line({"smtp-end": 7, "accepted": 12, "started": 1, "pop3-login-refused": 1})
        self.assertEqual(line, "since the start: messages accepted 12, SMTP sessions 7, POP3 logins refused 1")

    def test_events_that_were_not_counted_are_not_shown(self) -> None:
        self.assertEqual((counters_line({}), counters_line({"started": 1})), ("", ""))

    def test_no_event_shows_its_name(self) -> None:
        """One without words of its own, too: a new event, or one of a newer daemon."""
        for event in (*events(), "new.kind_of-event"):
            self.assertNotRegex(words_for(event), r"[._]|\w-\w", event)

    def test_each_event_of_a_protocol_names_it_in_capitals(self) -> None:
        for event in events():
            self.assertNotRegex(words_for(event), r"\b(smtp|pop3)\b", event)
