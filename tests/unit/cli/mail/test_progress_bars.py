"""Progress bars: drawn at the first progress, and hidden during a password prompt."""

from __future__ import annotations

import contextlib
import io
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.mail.progress_bars import ProgressBars
from emailsys.client.fetch.values import Progress, Stage
from emailsys.client.send.sender import SendProgress
from tests.unit.cli.mail.mail_case import Terminal


class BarTests(SynchronousTestCase):
    """The output on standard error."""

    def setUp(self) -> None:
        self.patch(sys, "stdin", Terminal("secret\n"))
        self.error = Terminal()
        self.enterContext(contextlib.redirect_stderr(self.error))
        self.bars = self.enterContext(ProgressBars())

    def test_nothing_is_drawn_while_a_server_is_called_and_its_password_is_looked_for(self) -> None:
        """Nothing is drawn over the prompt of a keyring."""
        self.bars.fetching(Progress("work", Stage.CONNECTING, note="pop.example.org:995"))
        self.assertEqual(self.error.getvalue(), "")
        self.bars.fetching(Progress("work", Stage.FETCHING, 1, 2, 424, 848))
        self.assertIn("424 octets fetching", self.error.getvalue())

    def test_a_question_stands_on_a_line_of_its_own(self) -> None:
        """The bar is removed before the prompt and drawn again after it."""
        self.bars.fetching(Progress("work", Stage.FETCHING, 1, 2, 424, 848))
        asked: list[str] = []

        async def ask(text: str) -> str:
            asked.append(self.error.getvalue())
            return "secret"

        self.patch(sys.modules["emailsys.cli.mail.progress_bars"], "ask_secret", ask)
        answer = self.successResultOf(Deferred.fromCoroutine(self.bars.ask_secret("Password: ")))
        self.assertEqual(answer, "secret")
        # Escape sequences: show the cursor, and erase the line of the bar.
        self.assertIn("\x1b[?25h", asked[0])
        self.assertTrue(asked[0].endswith("\x1b[2K"), asked)
        self.bars.fetching(Progress("work", Stage.DONE, 2, 2, 848, 848))
        self.assertGreater(len(self.error.getvalue()), len(asked[0]))

    def test_large_messages_alone_have_a_bar(self) -> None:
        self.bars.sending(SendProgress("key", 10, 1_000))
        self.assertEqual(self.error.getvalue(), "")
        self.bars.sending(SendProgress("key", 300_000, 1_000_000))
        self.assertIn("sending", self.error.getvalue())

    def test_a_program_that_listens_gets_no_bar(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as error, ProgressBars() as bars:
            bars.fetching(Progress("work", Stage.FETCHING, 1, 2, 424, 848))
        self.assertEqual(error.getvalue(), "")
