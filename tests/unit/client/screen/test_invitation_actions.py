"""The key that answers invitations."""

from __future__ import annotations

from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.client.screen.panes import Panes
from tests.unit.client.compose.test_invitation_reply import invitation
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


class InvitationTests(ScreenCase):
    """The newest message is an invitation."""

    @tries("invitation")
    def test_an_answer_is_sent_after_a_question_and_not_before(self) -> None:
        octets = invitation().replace(b"From:", b"Date: Mon, 09 Mar 2026 11:59:00 +0000\r\nFrom:", 1)
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

        statuses: list[str] = []
        show = Panes.show_status

        def shown(screen: Panes, words: str, **how: bool) -> None:
            statuses.append(words)
            show(screen, words, **how)

        self.patch(Panes, "show_status", shown)

        async def steps(driver: Driver) -> None:
            await driver.press("I")
            await driver.until_screen("ChoiceDialog")
            await driver.press("j", "j", "enter")
            await driver.until_screen("ConfirmDialog")
            # No has the focus.
            await driver.press("enter")
            await driver.until_screen("MainScreen")
            self.assertEqual((self.subjects("Outbox"), self.network.sent), ([], []))
            await driver.press("I")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: "Sent to olga@example.net" in driver.said)
            await driver.press("j", "I")
            await driver.until(lambda: "no invitation" in driver.said)

        self.drive(steps, hold=3600.0)
        self.assertEqual(self.subjects("Sent"), ["Accepted: Board; meeting"])
        # Answers are sent at once.
        self.assertFalse([one for one in statuses if "on hold" in one])
        self.assertTrue(self.mailbox.archive.get(key).flags & Flag.ANSWERED)
