"""The full screen, writing: each key has its effect on disk or on the sent mail."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import Any

from textual.widgets import Checkbox, Input, Select, TextArea

from emailsys.client.archive.values import DRAFTS, Flag, Folder
from emailsys.client.contacts.book import Contact
from emailsys.client.screen import composer
from emailsys.client.send.outbox import State
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.unit.client.screen.screen_case import Driver, ScreenCase, account, tries


class WritingTests(ScreenCase):
    """The keys that write and send messages."""

    async def _send(self, driver: Driver) -> None:
        await driver.press("ctrl+t")
        await driver.until(lambda: type(driver.app.screen).__name__ != "Composer")

    def _outbox_actions(self, number: int = 0) -> Any:
        key = self.network.sent[number]
        return self.mailbox.open_draft(key)

    def test_what_was_typed_while_the_message_was_checked_is_not_lost(self) -> None:
        """The message is not sent, and the composer says so; the next time all of it is."""
        late = ["A late line.\n"]

        async def slow(app: Any, *rest: object) -> bool:
            if late:
                app.screen.query_one(TextArea).insert(late.pop())
            return True

        told: list[str] = []
        self.patch(composer, "may_send", slow)
        self.patch(composer.Composer, "notify", lambda screen, text, **rest: told.append(text))

        async def steps(driver: Driver) -> None:
            await driver.compose("Dora <dora@example.org>", "Slow", "The text.\n")
            await driver.press("ctrl+t")
            await driver.until(lambda: any("has changed" in text for text in told))
            self.assertEqual((type(driver.app.screen).__name__, self.network.sent), ("Composer", []))
            await self._send(driver)
            await driver.until(lambda: bool(self.network.sent))
            self.assertIn("A late line.", self._outbox_actions().text)

        self.drive(steps)

    @tries("compose", "send", "attach", "detach")
    def test_a_message_is_written_with_attachments_and_sent(self) -> None:
        """m, the fields, two attachments, one of them removed, and Ctrl-T: the message is in Sent, and no draft
        remains. Tab completes the path of a file.
        """
        keep, drop = self.folder / "keep.txt", self.folder / "drop.txt"
        keep.write_bytes(b"kept")
        drop.write_bytes(b"dropped")

        async def steps(driver: Driver) -> None:
            await driver.compose("Dora <dora@example.org>", "Files", "Here is *one*.\n")
            driver.app.screen.query_one("#markdown", Checkbox).value = True
            for path in (drop, keep):
                await driver.press("ctrl+o")
                await driver.until_screen("PathDialog")
                await driver.type(str(path)[:-6])
                await driver.press("tab", "enter")
                await driver.until_screen("Composer")
            attachments: Any = driver.app.screen.query_one("#attachments")
            await driver.until(lambda: attachments.option_count == 2)
            attachments.focus()
            attachments.highlighted = 0
            await driver.pilot.pause()
            await driver.press("delete")
            await driver.until(lambda: attachments.option_count == 1)
            await self._send(driver)
            await driver.until(lambda: self.network.sent and "no longer be stopped" in driver.said)

        self.drive(steps)
        draft = self._outbox_actions()
        self.assertEqual([str(one.address) for one in draft.to], ["dora@example.org"])
        self.assertEqual([(one.name, one.octets) for one in draft.attachments], [("keep.txt", b"kept")])
        self.assertIn("<em>one</em>", draft.html)
        self.assertEqual(self.subjects("Drafts"), [])
        self.assertEqual(self.subjects("Sent"), ["Files"])

    def test_whether_it_is_markdown_is_seen_without_colours(self) -> None:
        """The checkbox is empty, and has an X after Space."""

        async def steps(driver: Driver) -> None:
            await driver.compose()
            box = driver.app.screen.query_one("#markdown", Checkbox)
            self.assertNotIn("X", str(box.render()))
            box.focus()
            await driver.press("space")
            self.assertTrue(box.value)
            self.assertIn("X", str(box.render()))
            await driver.press("space", "escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("reply")
    def test_an_answer_goes_to_the_sender_in_the_same_conversation(self) -> None:
        """r writes a quoted "Re:" with In-Reply-To, and marks the original as answered."""

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            self.assertIn("> the text of Third", driver.app.screen.query_one("#body", TextArea).text)
            await self._send(driver)
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        draft = self._outbox_actions()
        self.assertEqual([str(one.address) for one in draft.to], ["bob@example.org"])
        self.assertEqual((draft.subject, draft.cc), ("Re: Third", []))
        self.assertEqual(draft.in_reply_to, self.mailbox.archive.get(self.third).message_id)
        self.assertTrue(self.mailbox.archive.get(self.third).flags & Flag.ANSWERED)

    @tries("reply_all")
    def test_a_reply_to_all_excludes_ones_own_address(self) -> None:
        """g writes to Bob and Carol, but not to Alice."""

        async def steps(driver: Driver) -> None:
            await driver.press("g")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        draft = self._outbox_actions()
        everybody = [str(one.address) for one in (*draft.to, *draft.cc)]
        self.assertEqual(everybody, ["bob@example.org", "carol@example.org"])

    @tries("reply_list")
    def test_an_answer_to_the_list_goes_to_the_list_alone(self) -> None:
        """L on a message that came through no list says so."""
        octets = self.mailbox.archive.octets(self.third)
        self.mailbox.archive.replace(self.third, b"List-Post: <mailto:talk@lists.example>\r\n" + octets)

        async def steps(driver: Driver) -> None:
            await driver.press("j", "L")
            await driver.until(lambda: "names no mailing list" in driver.said)
            await driver.press("k", "L")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        draft = self._outbox_actions()
        self.assertEqual([str(one.address) for one in (*draft.to, *draft.cc)], ["talk@lists.example"])

    @tries("forward")
    def test_a_message_is_forwarded_as_an_attachment(self) -> None:
        """f attaches the message as message/rfc822 with the octets that were received."""

        async def steps(driver: Driver) -> None:
            await driver.press("f")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            await self._send(driver)
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        self.assertEqual([one.content_type for one in self._outbox_actions().attachments], ["message/rfc822"])
        self.assertEqual(self._outbox_actions().attachments[0].octets, self.mailbox.archive.octets(self.third))
        self.assertTrue(self.mailbox.archive.get(self.third).flags & Flag.FORWARDED)

    @tries("edit")
    def test_a_message_is_written_anew_from_an_old_one(self) -> None:
        """e opens a new draft with the same recipients, subject and attachment, and never in another's name."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "e")
            await driver.until_screen("Composer")
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Second"])

        self.drive(steps)
        key = self.mailbox.archive.list(Folder("alice", DRAFTS))[0].key
        draft = self.mailbox.open_draft(key)
        self.assertEqual([one.name for one in draft.attachments], ["plan.txt"])
        self.assertEqual(str(draft.sender and draft.sender.address), "alice@example.org")
        self.assertEqual(self.folder_of(self.second), "Inbox")

    @tries("save", "close")
    def test_an_unfinished_message_is_saved_as_one_draft_and_continued(self) -> None:
        """Ctrl-S and Esc save one draft, not two. In Drafts, Enter continues it."""

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Half")
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Half"])
            driver.fill("#subject", "Half done")
            driver.app.screen.query_one("#body", TextArea).focus()
            await driver.press("escape")
            await driver.until_screen("MainScreen")
            self.assertEqual(self.subjects("Drafts"), ["Half done"])
            await driver.press("c", "j", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["Half done"])
            await driver.press("enter")
            await driver.until_screen("Composer")
            self.assertEqual(driver.app.screen.query_one("#subject", Input).value, "Half done")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    def test_the_composer_saves_automatically(self) -> None:
        """The automatic save keeps the text through a crash."""

        async def steps(driver: Driver) -> None:
            await driver.compose(body="do not lose this")
            await driver.app.screen.save_if_changed()  # type: ignore[attr-defined]
            self.assertIn("do not lose this", self.mailbox.archive.list(Folder("alice", DRAFTS))[0].preview)

        self.drive(steps)

    @tries("editor")
    def test_the_persons_own_editor_gets_the_text_and_gives_it_back(self) -> None:
        """F4 runs $VISUAL on a file. The edited fields and text return, and the file is removed."""
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "text = path.read_text().replace('Subject: ', 'Subject: Edited')\n"
            "path.write_text(text + 'by the editor')\n"
        )
        self.patch(os, "environ", {**os.environ, "VISUAL": f"{sys.executable} {script}"})

        async def steps(driver: Driver) -> None:
            await driver.compose()
            await driver.press("f4")
            await driver.until(lambda: driver.app.screen.query_one("#subject", Input).value == "Edited")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.mailbox.archive.list(Folder("alice", DRAFTS))[0].preview, "by the editor")
        self.assertEqual(list((self.folder / "state" / "editing").iterdir()), [])

    @tries("flush")
    def test_dollar_sends_the_messages_of_the_outbox(self) -> None:
        """$ after a failure sends the message, which is then in Sent."""
        self.network.problem = "the server cannot be reached"

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: "waits in the outbox" in driver.said)
            self.assertEqual(self.subjects("Outbox"), ["Re: Third"])
            self.network.problem = None
            await driver.press("dollar_sign")
            await driver.until(lambda: self.subjects("Sent") == ["Re: Third"])

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])

    @tries("stop")
    def test_a_message_that_is_held_can_be_stopped(self) -> None:
        """z makes the message a draft, and it is never sent."""

        async def steps(driver: Driver) -> None:
            self.network.gate = asyncio.Event()
            await driver.press("r")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: "z to stop it" in driver.said)
            self.assertEqual([one.state for one in self.mailbox.outbox.list()], [State.HELD])
            await driver.press("z")
            await driver.until(lambda: self.subjects("Drafts") == ["Re: Third"])
            self.network.gate.set()
            await driver.until(lambda: driver.said == "it was stopped")

        self.drive(steps, hold=3600.0)
        self.assertEqual(self.network.sent, [])
        self.assertEqual(self.subjects("Outbox"), [])

    def test_a_forgotten_attachment_is_asked_about(self) -> None:
        """If the text mentions a missing attachment, n goes back to writing, and y sends anyway."""

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@example.org", "Report", "The report is attached.")
            await driver.press("ctrl+t")
            await driver.until_screen("ConfirmDialog")
            await driver.press("n")
            await driver.until_screen("Composer")
            self.assertEqual(self.network.sent, [])
            await driver.press("ctrl+t")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: self.network.sent)

        self.drive(steps)

    def test_an_invalid_address_is_named_and_nothing_is_sent(self) -> None:
        """The composer stays open with its text."""

        async def steps(driver: Driver) -> None:
            await driver.compose()
            await driver.press("ctrl+t")
            await driver.until(lambda: any("has no recipient" in one for one in driver.toasts))
            await driver.type("dora at example")
            await driver.press("ctrl+t")
            await driver.until(lambda: any(one.startswith("To: ") for one in driver.toasts))
            self.assertEqual(type(driver.app.screen).__name__, "Composer")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])

    def test_an_answer_comes_from_the_address_that_was_written_to(self) -> None:
        """The signature stands below the quoted text. From offers all addresses of all accounts."""
        info = Mailbox("Alice", parse("info@example.org"))
        self.mailbox.accounts_file.put(replace(account("alice"), aliases=(info.address,), signature="Alice\nCompany"))
        octets = self.mailbox.archive.octets(self.third)
        self.mailbox.archive.replace(self.third, octets.replace(b"Alice <alice@example.org>", b"INFO@example.org"))

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            self.assertEqual(driver.app.screen.query_one("#from", Select).value, 1)
            body = driver.app.screen.query_one("#body", TextArea)
            self.assertTrue(body.text.endswith("\n\n-- \nAlice\nCompany\n"))
            # What is typed goes between the quoted text and the signature.
            await driver.type("Yes.")
            self.assertTrue(body.text.endswith("\n> line\n\nYes.\n\n-- \nAlice\nCompany\n"), body.text)
            await self._send(driver)
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        self.assertEqual(self._outbox_actions().sender, info)

    def test_another_account_writes_in_its_own_name(self) -> None:
        """From chooses an account, and the copy goes into its Sent. A short name in To stands for a contact."""
        self.mailbox.contacts.put([Contact("dora", "Dora", (parse("dora@example.org"),))])

        async def steps(driver: Driver) -> None:
            await driver.compose("dora", "From work", "Hello.")
            driver.app.screen.query_one("#from", Select).value = 1
            await self._send(driver)
            await driver.until(lambda: self.subjects("Sent", "work") == ["From work"])

        self.drive(steps)
        draft = self._outbox_actions()
        self.assertEqual((str(draft.sender.address), str(draft.to[0])), ("work@example.org", "Dora <dora@example.org>"))
