"""The full screen keeps an unfinished address in the draft."""

from __future__ import annotations

from textual.widgets import Input

from tests.unit.client.screen.screen_case import Driver, ScreenCase


class UnfinishedTests(ScreenCase):
    """A draft that is left while an address is half typed."""

    def test_an_unfinished_bcc_is_there_when_the_draft_is_opened_again(self) -> None:
        """Esc saves it with the finished addresses around it. The field is in the draft, not among its recipients."""

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@example.org", "Half", "text\n")
            driver.app.screen.query_one("#bcc", Input).value = "Eve <eve@example.org>, bo"
            await driver.press("escape")
            await driver.until(lambda: self.subjects("Drafts") == ["Half"])

        self.drive(steps)
        (found,) = self.mailbox.archive.search("folder:Drafts")
        draft = self.mailbox.open_draft(found.key)
        self.assertEqual((draft.bcc, draft.typed("Bcc")), ([], "Eve <eve@example.org>, bo"))
