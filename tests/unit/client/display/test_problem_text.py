"""The text of a problem and its advice reads as one line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.problem_text import problem_text


class ProblemTextTests(SynchronousTestCase):
    """Problems come as sentences from servers, and as parts of a sentence from the mail client."""

    def test_a_problem_without_advice_is_unchanged(self) -> None:
        self.assertEqual(problem_text("the disk is full"), "the disk is full")

    def test_advice_follows_a_part_of_a_sentence_after_a_semicolon(self) -> None:
        self.assertEqual(problem_text("login failed", "check the password"), "login failed; check the password")

    def test_advice_begins_a_new_sentence_after_a_full_stop(self) -> None:
        self.assertEqual(problem_text("Login failed.", "check the password"), "Login failed. Check the password")

    def test_advice_that_is_a_sentence_begins_one(self) -> None:
        self.assertEqual(
            problem_text("the host closed it", "It may have arrived."), "the host closed it. It may have arrived."
        )
