"""Keys of the composer that put a template into a message, and choose when it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from textual.widgets import Input, Select, Static, TextArea

from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.screen import composer, key_order
from emailsys.client.send.outbox import State
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, PATIENCE, Driver, ScreenCase, account, tries


class ComposingKeyTests(ScreenCase):
    def setUp(self) -> None:
        super().setUp()
        # On a slow machine, a draft would be saved before its account is chosen.
        self.patch(composer, "SAVE_EVERY", 3600.0)
        self.patch(key_order, "_PATIENCE", PATIENCE)

    def test_keys_of_one_burst_go_where_they_belong(self) -> None:
        """Typing is faster than the screen: Tab and Enter divide it among the fields, and Esc saves all of it.

        What is sent from another account has the signature of that one. A link's attachment is told at once.
        """
        for name in ("alice", "work"):
            self.mailbox.accounts_file.put(replace(account(name), signature=f"{name}\nof the office"))
        link = "<mailto:dora@example.org?attach=/etc/passwd&body=Hello>"
        octets = build(Draft(BOB, [ALICE], subject="Link", text=f"{link}\n"), NOW + timedelta(hours=1)).octets
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            await driver.compose()
            driver.burst("dora@x.example", "tab", "c@x.example", "enter", "tab", "Plan", "tab", "Hello,", "enter", "D.")
            await driver.until(lambda: "D." in driver.app.screen.query_one("#body", TextArea).text)
            fields = {one.id: one.value for one in driver.app.screen.query(Input)}
            self.assertEqual(fields, {"to": "dora@x.example", "cc": "c@x.example", "bcc": "", "subject": "Plan"})
            body = driver.app.screen.query_one("#body", TextArea)
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Plan"])
            # Saved once as a draft of the first account, it goes to Drafts of the other one.
            driver.app.screen.query_one("#from", Select).value = 1
            await driver.until(lambda: body.text == "Hello,\nD.\n\n-- \nwork\nof the office\n")
            driver.burst("!", "escape")
            await driver.until_screen("MainScreen")
            await driver.until(lambda: len(driver.messages.summaries) == 4)
            await driver.press("equals_sign")
            self.assertEqual(driver.current.key, key)
            await driver.press("U")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until(lambda: any("asks for the file '/etc/passwd'" in one for one in driver.toasts))
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), [])
        (draft,) = self.mailbox.archive.list(Folder("work", "Drafts"))
        self.assertEqual(self.mailbox.open_draft(draft.key).text, "Hello,\nD.!\n\n-- \nwork\nof the office\n")

    def test_keys_before_and_after_one_that_opens_a_dialog(self) -> None:
        """What is typed before F5, F7 and Ctrl-O is in its field, and what is typed after them is for the dialog."""
        self.mailbox.templates.write("offer", "Subject: Plan\n\nhere is the plan\n")

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@x.example", "Plan", "")
            body = driver.app.screen.query_one("#body", TextArea)
            body.focus()
            driver.burst("one", "f7", "+2h", "enter")
            title: Any = driver.app.screen.query_one("#title", Static)
            await driver.until(lambda: "to be sent on" in str(title.render()))
            # The path cannot be read: the keys behind it correct it, and are not for the letter.
            driver.burst("two", "ctrl+o", "~nobody/x", "enter", "y")
            await driver.until(lambda: driver.refusal.startswith("~nobody/xy: Cannot attach ~nobody/x"))
            driver.burst("escape", "three", "f5", "enter")
            await driver.until(lambda: "here is the plan" in body.text)
            self.assertIn("onetwothree", body.text)
            self.assertNotIn("+2h", body.text)
            self.assertNotIn("~nobody", body.text)
            driver.burst("four", "escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        (draft,) = self.mailbox.archive.list(Folder("alice", "Drafts"))
        text = self.mailbox.open_draft(draft.key).text or ""
        self.assertIn("four", text)
        self.assertIn("here is the plan", text)

    def test_the_answers_to_all_questions_of_a_template_can_be_typed_ahead(self) -> None:
        """What is typed after the last one is in the message again."""
        self.mailbox.templates.write("offer", "Subject: Plan\n\n{what} is {where}.\n")

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@x.example", "Plan", "")
            driver.app.screen.query_one("#body", TextArea).focus()
            driver.burst("f5", "enter", "Soup", "enter", "hot", "enter", "At noon. ", "escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        (draft,) = self.mailbox.archive.list(Folder("alice", "Drafts"))
        text = self.mailbox.open_draft(draft.key).text or ""
        self.assertEqual(text.strip(), "At noon. Soup is hot.")

    @tries("template")
    def test_a_template_is_put_above_the_text(self) -> None:
        """F5 asks for the field that nothing else tells, and leaves the quoted text."""
        self.mailbox.templates.write("offer", "Subject: other\n\nDear {first_name},\nhere is {what}.\n")

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            await driver.press("f5")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until_screen("InputDialog")
            await driver.type("the plan")
            await driver.press("enter")
            await driver.until_screen("Composer")
            body = driver.app.screen.query_one("#body", TextArea)
            await driver.until(lambda: "here is the plan." in body.text)
            self.assertTrue(body.text.startswith("Dear Bob,"), body.text)
            self.assertIn("> the text of Third", body.text)
            self.assertEqual(driver.app.screen.query_one("#subject", Input).value, "Re: Third")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("template")
    def test_a_message_becomes_a_template_that_is_used_and_removed(self) -> None:
        """Without its signature, and with the fields that it has."""
        self.mailbox.accounts_file.put(replace(account("alice"), signature="alice"))
        templates = self.mailbox.templates

        async def steps(driver: Driver) -> None:
            await driver.compose("", "Offer", "")
            body = driver.app.screen.query_one("#body", TextArea)
            body.text = "Dear {first_name}\n\n-- \nalice\n"
            driver.burst("f5", "enter", "an/offer", "enter")
            await driver.until(lambda: "cannot be the name of a template" in driver.refusal)
            driver.burst("ctrl+u", "offer", "enter")
            await driver.until(lambda: templates.names() == ["offer"])
            self.assertEqual(templates.read("offer"), "Subject: Offer\n\nDear {first_name}\n")
            # One of that name is replaced after a question.
            driver.burst("f5", "j", "enter", "offer", "enter")
            await driver.until_screen("ConfirmDialog")
            await driver.press("enter")
            await driver.until_screen("Composer")
            driver.burst("f5", "jj", "enter", "enter")
            await driver.until_screen("ConfirmDialog")
            self.assertEqual(templates.names(), ["offer"])
            await driver.press("y")
            await driver.until(lambda: templates.names() == [])
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    def test_a_draft_does_not_keep_the_moment_and_that_is_told(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose("Dora <dora@example.org>", "Later", "text\n")
            await driver.press("f7")
            await driver.until_screen("InputDialog")
            await driver.type("+2h")
            await driver.press("enter")
            await driver.until_screen("Composer")
            await driver.press("escape")
            await driver.until_screen("MainScreen")
            await driver.until(lambda: any("moment of sending is not kept" in one for one in driver.toasts))

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), ["Later"])

    @tries("moment")
    def test_a_message_waits_for_the_moment_that_was_chosen(self) -> None:
        """F7: the message is in the outbox, due then, and is not sent now.

        What is no time stays in the dialog with the reason, and the next keys correct it: none goes into the letter.
        """

        async def steps(driver: Driver) -> None:
            await driver.compose("Dora <dora@example.org>", "Later", "text\n")
            driver.burst("f7", "soon", "enter", "er")
            await driver.until(lambda: driver.refusal.startswith("sooner: ") and "is not a time" in driver.refusal)
            driver.burst("ctrl+u", "+2h", "enter")
            await driver.until_screen("Composer")
            fields = [one.value for one in driver.app.screen.query(Input)]
            self.assertEqual(fields, ["Dora <dora@example.org>", "", "", "Later"])
            title: Any = driver.app.screen.query_one("#title", Static)
            await driver.until(lambda: "to be sent on" in str(title.render()))
            await driver.press("ctrl+t")
            await driver.until_screen("MainScreen")
            await driver.until(lambda: "waits in the outbox until" in driver.said)

        self.drive(steps)
        self.assertEqual(self.network.sent, [])
        (queued,) = self.mailbox.outbox.list()
        self.assertIs(queued.state, State.HELD)
        ahead = queued.due - self.mailbox.now()
        self.assertTrue(timedelta(minutes=110) < ahead <= timedelta(hours=2), ahead)
        self.assertEqual(self.subjects("Drafts"), [])
