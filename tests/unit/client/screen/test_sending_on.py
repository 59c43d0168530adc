"""Keys that send a message on, unsubscribe, and make a rule for spam: what they send, and what they leave on disk."""

from __future__ import annotations

from dataclasses import replace

from textual.widgets import Input, Label

from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.client.contacts.book import Contact
from emailsys.client.rules.matching import verdict
from emailsys.mail.address import parse
from tests.unit.client.opening.recorder import Recorder
from tests.unit.client.screen.screen_case import Driver, ScreenCase, account, tries

_ONE_CLICK = "List-Unsubscribe-Post: List-Unsubscribe=One-Click"


async def answered(driver: Driver, key: str) -> str:
    """Answer a question. Return its text."""
    await driver.until_screen("ConfirmDialog")
    asked = str(driver.app.screen.query_one(".title", Label).visual)
    await driver.press(key)
    await driver.until_screen("MainScreen")
    return " ".join(asked.split())


class SendingOnTests(ScreenCase):
    @tries("bounce")
    def test_a_message_is_sent_on_as_it_was_received(self) -> None:
        """Tab accepts a contact that is suggested. Enter alone does not send."""
        self.mailbox.contacts.put([Contact("support", "", (parse("help@example.net"),))])
        message = self.mailbox.archive.octets(self.third)

        async def steps(driver: Driver) -> None:
            await driver.press("b")
            await driver.until_screen("RecipientsDialog")
            line = driver.app.screen.query_one(Input)
            await driver.press("s", "u", "p")
            await driver.until(lambda: line.parent is not None and getattr(line.parent, "is_offering", False))
            await driver.press("tab", *"d@x.example", "enter")
            asked = await answered(driver, "enter")
            self.assertIn("Send “Third” on to help@example.net, d@x.example", asked)
            self.assertEqual(self.subjects("Sent"), [])
            driver.burst("b", "support, d@x.example", "enter")
            await answered(driver, "y")
            await driver.until(lambda: "Sent to" in driver.said)

        self.drive(steps)
        (key,) = self.network.sent
        octets = self.mailbox.archive.octets(key)
        self.assertTrue(octets.startswith(b"Resent-Date: ") and octets.endswith(message), octets[:300])
        self.assertIn(b"Resent-From: Alice <alice@example.org>\r\nResent-To: help@example.net, d@x.example\r\n", octets)
        self.assertTrue(self.mailbox.archive.get(self.third).flags & Flag.FORWARDED)

    @tries("bounce", "for_all")
    def test_selected_messages_are_sent_on_each_by_itself(self) -> None:
        async def steps(driver: Driver) -> None:
            driver.burst("tt", "semicolon", "b", "nobody@", "enter")
            await driver.until(lambda: driver.refusal.startswith("nobody@: "))
            driver.burst("ctrl+u", "d@x.example", "enter")
            self.assertIn("Send 2 messages on to d@x.example", await answered(driver, "y"))
            await driver.until(lambda: len(self.network.sent) == 2)

        self.drive(steps)
        self.assertEqual(self.subjects("Sent"), ["Third", "Second"])

    def test_the_question_names_a_message_without_a_subject_in_other_words(self) -> None:
        octets = b"From: L <l@lists.example>\r\nDate: Mon, 09 Mar 2026 11:59:00 +0000\r\n\r\ntext\r\n"
        self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            driver.burst("b", "d@x.example", "enter")
            self.assertIn("Send the message on to d@x.example", await answered(driver, "n"))

        self.drive(steps)
        self.assertEqual(self.network.sent, [])

    def news(self, *fields: str) -> str:
        """Add a message of a mailing list, the newest."""
        head = ["From: L <l@lists.example>", "Subject: News", "Date: Mon, 09 Mar 2026 11:59:00 +0000", *fields]
        octets = "".join(f"{one}\r\n" for one in head).encode() + b"\r\nnews\r\n"
        return self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

    @tries("unsubscribe")
    def test_one_request_unsubscribes_after_a_question_and_not_before(self) -> None:
        self.news("List-Unsubscribe: <https://lists.example/u?me>", _ONE_CLICK)

        async def steps(driver: Driver) -> None:
            driver.burst("Q")
            self.assertEqual(await answered(driver, "enter"), "Unsubscribe by a request to lists.example?")
            self.assertEqual(self.network.posted, [])
            driver.burst("Q")
            await answered(driver, "y")
            await driver.until(lambda: "lists.example has taken the request" in driver.said)
            self.network.answer = 410
            driver.burst("Q")
            await answered(driver, "y")
            await driver.until(lambda: "Not unsubscribed: lists.example answered with the status 410" in driver.said)

        self.drive(steps)
        self.assertEqual(self.network.posted, [("https://lists.example/u?me", b"List-Unsubscribe=One-Click")] * 2)

    @tries("unsubscribe")
    def test_a_message_unsubscribes_the_address_that_the_list_writes_to(self) -> None:
        self.mailbox.accounts_file.put(replace(account("alice"), aliases=(parse("ally@example.org"),)))
        self.news("To: ally@example.org", "List-Unsubscribe: <mailto:leave@lists.example?subject=Out>")

        async def steps(driver: Driver) -> None:
            driver.burst("Q")
            asked = await answered(driver, "y")
            self.assertIn("a message to leave@lists.example with the subject 'Out' and the text 'unsubscribe'", asked)
            await driver.until(lambda: "Sent to leave@lists.example" in driver.said)

        self.drive(steps, hold=3600.0)
        (key,) = self.network.sent
        draft = self.mailbox.open_draft(key)
        self.assertEqual((str(draft.sender), draft.subject), ("Alice <ally@example.org>", "Out"))

    @tries("unsubscribe")
    def test_a_page_is_opened_after_a_question_that_shows_it(self) -> None:
        recorder = Recorder(self)
        self.news("List-Unsubscribe: <https://lists.example/page>")

        async def steps(driver: Driver) -> None:
            driver.burst("Q")
            await driver.until_screen("OpenDialog")
            self.assertEqual(recorder.told, [])
            await driver.press("y")
            await driver.until(lambda: "Opened https://lists.example/page" in driver.said)
            driver.burst("jQ")
            await driver.until(lambda: "no way to unsubscribe" in driver.said)

        self.drive(steps)
        self.assertEqual(recorder.told, [["browser", "https://lists.example/page"]])
        self.assertEqual((self.network.posted, self.network.sent), ([], []))

    @tries("spam_rule")
    def test_spam_takes_the_later_messages_of_its_sender_along(self) -> None:
        """`u` brings the message back."""
        key = self.news("To: alice@example.org")

        async def steps(driver: Driver) -> None:
            driver.burst("S")
            asked = await answered(driver, "enter")
            self.assertIn("from now on all new messages from l@lists.example", asked)
            self.assertEqual((self.folder_of(key), self.mailbox.account("alice").rules), ("Inbox", ()))
            driver.burst("S")
            await answered(driver, "y")
            await driver.until(lambda: "The rule stays in mail.toml" in driver.said)
            self.assertEqual(self.folder_of(key), "Spam")
            await driver.press("u")
            await driver.until(lambda: self.folder_of(key) == "Inbox")

        self.drive(steps)
        rules = self.mailbox.account("alice").rules
        self.assertEqual(verdict(rules, self.mailbox.archive.octets(key)).folder, "Spam")
        self.assertIsNone(verdict(rules, self.mailbox.archive.octets(self.first)).folder)
