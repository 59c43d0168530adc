"""The full screen: what each key of its help does, seen on disk or in what goes out."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from textual.widgets import Checkbox, Input, Select, TextArea

from emailsys.client.archive.values import DRAFTS, Flag, Place
from emailsys.client.outbox import State
from emailsys.client.screen.keys import SECTIONS
from emailsys.client.screen.picture import picture
from tests.unit.screen_case import Driver, ScreenCase

F = TypeVar("F", bound=Callable[..., Any])
_TRIED: set[str] = set()


def tries(*actions: str) -> Callable[[F], F]:
    """This test shows what these keys do."""
    _TRIED.update(actions)
    return lambda function: function


class MovingTests(ScreenCase):
    """Which message is meant."""

    @tries("next", "previous", "first", "last")
    def test_mutts_keys_move_the_cursor_and_delete_takes_what_is_under_it(self) -> None:
        """j and k, = and *: the message that d moves to Trash is the one that the cursor came to."""

        async def steps(driver: Driver) -> None:
            await driver.press("asterisk", "k", "d")
            await driver.until(lambda: self.place(self.second) == "Trash")
            await driver.until(lambda: len(driver.messages.summaries) == 2)
            await driver.press("equals_sign", "j", "d")
            await driver.until(lambda: self.place(self.first) == "Trash")

        self.drive(steps)
        self.assertEqual(self.place(self.third), "Inbox")

    @tries("next_unread")
    def test_tab_goes_to_what_nobody_has_read(self) -> None:
        """From the last message round to the unread first one."""

        async def steps(driver: Driver) -> None:
            await driver.press("asterisk", "tab", "enter")
            await driver.until(lambda: driver.reader.key == self.third)

        self.drive(steps)
        self.assertFalse(self.desk.archive.get(self.third).is_unread)

    @tries("open", "to_list")
    def test_opening_marks_as_read_on_disk(self) -> None:
        """Enter shows the text; i goes back to the list."""

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: "the text of Third" in driver.read)
            await driver.until(lambda: not self.desk.archive.get(self.third).is_unread)
            self.assertIs(driver.app.screen.focused, driver.reader)
            await driver.press("i")
            self.assertIs(driver.app.screen.focused, driver.messages)

        self.drive(steps)

    @tries("page_down", "page_up")
    def test_space_reads_on_into_the_next_message(self) -> None:
        """Page by page to the end of a message, then the next one; - goes back up."""

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.press("space")
            await driver.until(lambda: driver.reader.scroll_offset.y > 0)
            await driver.press("minus")
            await driver.until(lambda: driver.reader.scroll_offset.y == 0)
            for _ in range(30):
                await driver.press("space")
            await driver.until(lambda: driver.reader.key in (self.first, self.second))

        self.drive(steps)

    @tries("to_folders")
    def test_another_folder_is_chosen_with_the_keyboard(self) -> None:
        """c, down to Archive, Enter: what d deletes then lay in Archive."""
        self.desk.archive.move([self.first], Place("alice", "Archive"))

        async def steps(driver: Driver) -> None:
            await driver.press("c", *"jjjj", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])
            await driver.press("d")
            await driver.until(lambda: self.place(self.first) == "Trash")

        self.drive(steps)

    @tries("next_pane")
    def test_f6_goes_round_the_panes(self) -> None:
        """List, message, folders; in the folders Enter opens the one under the cursor."""
        self.desk.archive.move([self.first], Place("alice", "Drafts"))

        async def steps(driver: Driver) -> None:
            await driver.press("f6", "f6", "j", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])

        self.drive(steps)

    def test_a_folder_and_a_message_are_chosen_with_the_mouse(self) -> None:
        """A click on a message opens it, a click on a folder lists it."""

        async def steps(driver: Driver) -> None:
            await driver.pilot.click("#messages", offset=(10, 1))
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.pilot.click("#folders", offset=(4, 5))
            await driver.until(lambda: "Archive" in str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]

        self.drive(steps)
        self.assertFalse(self.desk.archive.get(self.third).is_unread)

    def test_a_long_folder_comes_page_by_page(self) -> None:
        """The second page is read when the cursor comes near the end of the first."""
        for number in range(230):
            self.arrive(f"Number {number}", 5 + number, Flag.SEEN)

        async def steps(driver: Driver) -> None:
            self.assertEqual(len(driver.messages.summaries), 200)
            await driver.press("asterisk")
            await driver.until(lambda: len(driver.messages.summaries) == 233)

        self.drive(steps)

    def test_a_narrow_screen_shows_the_folders_when_they_are_asked_for(self) -> None:
        """On 60 columns the list has the whole width."""

        async def steps(driver: Driver) -> None:
            folders = driver.app.screen.query_one("#folders")
            await driver.until(lambda: not folders.display)
            await driver.press("c")
            await driver.until(lambda: folders.display)

        self.drive(steps, size=(60, 24))


class ReadingTests(ScreenCase):
    """What is shown of a message."""

    @tries("headers", "html")
    def test_headers_and_html_are_shown_and_hidden(self) -> None:
        """h shows Message-ID, H the HTML form; each key again takes it back."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "enter")
            await driver.until(lambda: "the text of Second" in driver.read)
            self.assertNotIn("Message-ID", driver.read)
            await driver.press("h")
            await driver.until(lambda: "Message-ID" in driver.read)
            await driver.press("h", "H")
            await driver.until(lambda: "the HTML form" in driver.read and "Message-ID" not in driver.read)
            await driver.press("H")
            await driver.until(lambda: "the text of Second" in driver.read)

        self.drive(steps)

    @tries("structure")
    def test_the_structure_names_every_part(self) -> None:
        """V: types, sizes and what encoding costs."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "V")
            await driver.until_screen("Read")
            shown = " ".join(str(one.visual) for one in driver.app.screen.query("Static"))  # type: ignore[attr-defined]
            for word in ("multipart/mixed", "multipart/alternative", "text/html", "plan.txt"):
                self.assertIn(word, shown)
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("attachments")
    def test_an_attachment_is_saved_where_the_person_says(self) -> None:
        """v, Enter, a folder: the file has the octets that were sent."""
        target = self.folder / "saved"

        async def steps(driver: Driver) -> None:
            await driver.press("j", "v")
            await driver.until_screen("Choose")
            await driver.press("enter")
            await driver.until_screen("Ask")
            driver.app.screen.query_one(Input).value = str(target)
            await driver.press("enter")
            await driver.until(lambda: (target / "plan.txt").is_file() and "saved" in driver.said)

        self.drive(steps)
        self.assertEqual((target / "plan.txt").read_bytes(), b"a plan")

    @tries("conversation")
    def test_a_conversation_is_listed_over_its_folders(self) -> None:
        """C: the message and its answer in Sent; i leads back to the folder."""
        summary = self.desk.archive.get(self.third)
        key = self.desk.queue(self.desk.account("alice"), self.desk.reply(summary))
        self.desk.archive.move([key], Place("alice", "Sent"))

        async def steps(driver: Driver) -> None:
            await driver.press("C")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.third, key])
            await driver.press("i")
            await driver.until(lambda: len(driver.messages.summaries) == 3)

        self.drive(steps)

    @tries("search")
    def test_a_search_finds_and_what_is_found_can_be_handled(self) -> None:
        """/ has:attachment, then a: the message is in Archive."""

        async def steps(driver: Driver) -> None:
            await driver.press("slash")
            await driver.until_screen("Ask")
            await driver.type("has:attachment")
            await driver.press("enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.second])
            await driver.press("a")
            await driver.until(lambda: self.place(self.second) == "Archive")
            await driver.press("slash")
            await driver.until_screen("Ask")
            driver.app.screen.query_one(Input).value = "before:never"
            await driver.press("enter")
            await driver.until(lambda: "a date is written" in driver.said)

        self.drive(steps)

    def test_nothing_a_stranger_wrote_is_taken_for_markup_or_reaches_the_terminal(self) -> None:
        """Brackets stay brackets, an escape sequence becomes visible characters."""
        octets = (
            b"From: x@example.org\r\nSubject: [bold]not[/bold] \x1b[2J\r\nDate: Mon, 9 Mar 2026 12:30:00 +0000\r\n\r\n"
            b"[link=file:///etc/passwd]here[/link] \x1b]0;title\x07\r\n"
        )
        from emailsys.client.archive.values import INBOX, Addition

        key = self.desk.archive.add(Addition(octets, Place("alice", INBOX)))

        async def steps(driver: Driver) -> str:
            await driver.press("equals_sign", "enter")
            await driver.until(lambda: driver.reader.key == key)
            await driver.pilot.pause()
            return driver.app.export_screenshot()

        svg = self.drive(steps)
        self.assertNotIn("\x1b", svg)
        text = re.sub(r"<[^>]+>|&#160;", " ", svg)
        self.assertIn("[link=file:///etc/passwd]here", text.replace("\xa0", " "))
        self.assertIn("[bold]not[/bold]", text.replace("\xa0", " "))


class WritingTests(ScreenCase):
    """What goes out."""

    async def _send(self, driver: Driver) -> None:
        await driver.press("ctrl+t")
        await driver.until(lambda: type(driver.app.screen).__name__ != "Composer")

    def _outgoing(self, number: int = 0) -> Any:
        key = self.postal.sent[number]
        return self.desk.open_draft(key)

    @tries("compose", "send", "attach", "detach")
    def test_a_message_is_written_with_attachments_and_sent(self) -> None:
        """m, recipient, subject, text, two files, one taken off again, Ctrl-T: Sent has it, Drafts nothing."""
        keep, drop = self.folder / "keep.txt", self.folder / "drop.txt"
        keep.write_bytes(b"kept")
        drop.write_bytes(b"dropped")

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.type("Dora <dora@example.org>")
            driver.app.screen.query_one("#subject", Input).value = "Files"
            driver.app.screen.query_one("#body", TextArea).text = "Here is *one*.\n"
            driver.app.screen.query_one("#markdown", Checkbox).value = True
            for path in (drop, keep):
                await driver.press("ctrl+o")
                await driver.until_screen("Ask")
                await driver.type(str(path))
                await driver.press("enter")
                await driver.until_screen("Composer")
            attachments: Any = driver.app.screen.query_one("#attachments")
            await driver.until(lambda: attachments.option_count == 2)
            attachments.focus()
            attachments.highlighted = 0
            await driver.pilot.pause()
            await driver.press("delete")
            await driver.until(lambda: attachments.option_count == 1)
            await self._send(driver)
            await driver.until(lambda: self.postal.sent and "cannot be stopped" in driver.said)

        self.drive(steps)
        draft = self._outgoing()
        self.assertEqual([str(one.address) for one in draft.to], ["dora@example.org"])
        self.assertEqual([(one.name, one.octets) for one in draft.attachments], [("keep.txt", b"kept")])
        self.assertIn("<em>one</em>", draft.html)
        self.assertEqual(self.subjects("Drafts"), [])
        self.assertEqual(self.subjects("Sent"), ["Files"])

    @tries("reply")
    def test_an_answer_goes_to_the_sender_in_the_same_conversation(self) -> None:
        """r: quoted, Re:, In-Reply-To; the message that was answered bears the mark."""

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            self.assertIn("> the text of Third", driver.app.screen.query_one("#body", TextArea).text)
            await self._send(driver)
            await driver.until(lambda: self.postal.sent)

        self.drive(steps)
        draft = self._outgoing()
        self.assertEqual([str(one.address) for one in draft.to], ["bob@example.org"])
        self.assertEqual((draft.subject, draft.cc), ("Re: Third", []))
        self.assertEqual(draft.in_reply_to, self.desk.archive.get(self.third).message_id)
        self.assertTrue(self.desk.archive.get(self.third).flags & Flag.ANSWERED)

    @tries("reply_all")
    def test_an_answer_to_everybody_leaves_oneself_out(self) -> None:
        """g: bob and carol, not alice."""

        async def steps(driver: Driver) -> None:
            await driver.press("g")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: self.postal.sent)

        self.drive(steps)
        draft = self._outgoing()
        everybody = [str(one.address) for one in (*draft.to, *draft.cc)]
        self.assertEqual(everybody, ["bob@example.org", "carol@example.org"])

    @tries("forward")
    def test_a_message_is_passed_on_whole(self) -> None:
        """f: an attachment of type message/rfc822 with the octets that came."""

        async def steps(driver: Driver) -> None:
            await driver.press("f")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            await self._send(driver)
            await driver.until(lambda: self.postal.sent)

        self.drive(steps)
        self.assertEqual([one.content_type for one in self._outgoing().attachments], ["message/rfc822"])
        self.assertEqual(self._outgoing().attachments[0].octets, self.desk.archive.octets(self.third))
        self.assertTrue(self.desk.archive.get(self.third).flags & Flag.FORWARDED)

    @tries("edit")
    def test_a_message_is_written_anew_from_an_old_one(self) -> None:
        """e: the same recipients, subject and attachment, as a draft of its own."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "e")
            await driver.until_screen("Composer")
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Second"])

        self.drive(steps)
        key = self.desk.archive.list(Place("alice", DRAFTS))[0].key
        self.assertEqual([one.name for one in self.desk.open_draft(key).attachments], ["plan.txt"])
        self.assertEqual(self.place(self.second), "Inbox")

    @tries("save", "close")
    def test_what_is_not_finished_is_kept_and_gone_on_with(self) -> None:
        """Ctrl-S and Esc keep one draft, not two; Enter on it in Drafts goes on with it."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            driver.app.screen.query_one("#subject", Input).value = "Half"
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Half"])
            driver.app.screen.query_one("#subject", Input).value = "Half done"
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

    def test_what_is_written_is_saved_without_being_asked(self) -> None:
        """The interval's save: a crash after it loses nothing."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            driver.app.screen.query_one("#body", TextArea).text = "do not lose this"
            await driver.app.screen._save_if_changed()  # type: ignore[attr-defined]
            self.assertIn("do not lose this", self.desk.archive.list(Place("alice", DRAFTS))[0].preview)

        self.drive(steps)

    @tries("editor")
    def test_the_persons_own_editor_gets_the_text_and_gives_it_back(self) -> None:
        """F4 runs $VISUAL on a file; fields and text come back changed, and the file is gone."""
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "text = path.read_text().replace('Subject: ', 'Subject: Edited')\n"
            "path.write_text(text + 'by the editor')\n"
        )
        self.patch(os, "environ", {**os.environ, "VISUAL": f"{sys.executable} {script}"})

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.press("f4")
            await driver.until(lambda: driver.app.screen.query_one("#subject", Input).value == "Edited")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.desk.archive.list(Place("alice", DRAFTS))[0].preview, "by the editor")
        self.assertEqual(list((self.folder / "state" / "editing").iterdir()), [])

    @tries("flush")
    def test_what_waits_in_the_outbox_is_sent(self) -> None:
        """$ after a failure: the message goes, and is in Sent."""
        self.postal.problem = "the server cannot be reached"

        async def steps(driver: Driver) -> None:
            await driver.press("r")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: "waits in the outbox" in driver.said)
            self.assertEqual(self.subjects("Outbox"), ["Re: Third"])
            self.postal.problem = None
            await driver.press("dollar_sign")
            await driver.until(lambda: self.subjects("Sent") == ["Re: Third"])

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])

    @tries("stop")
    def test_a_message_that_is_held_can_be_stopped(self) -> None:
        """z: it is a draft again, and was never sent."""

        async def steps(driver: Driver) -> None:
            self.postal.gate = asyncio.Event()
            await driver.press("r")
            await driver.until_screen("Composer")
            await self._send(driver)
            await driver.until(lambda: "z stops it" in driver.said)
            self.assertEqual([one.state for one in self.desk.outbox.list()], [State.HELD])
            await driver.press("z")
            await driver.until(lambda: self.subjects("Drafts") == ["Re: Third"])
            self.postal.gate.set()
            await driver.until(lambda: driver.said == "it was stopped")

        self.drive(steps, hold=3600.0)
        self.assertEqual(self.postal.sent, [])
        self.assertEqual(self.subjects("Outbox"), [])

    def test_a_forgotten_attachment_is_asked_about(self) -> None:
        """The text speaks of one: n goes back to writing, y sends it all the same."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            driver.app.screen.query_one("#subject", Input).value = "Report"
            driver.app.screen.query_one("#body", TextArea).text = "The report is attached."
            await driver.press("ctrl+t")
            await driver.until_screen("Confirm")
            await driver.press("n")
            await driver.until_screen("Composer")
            self.assertEqual(self.postal.sent, [])
            await driver.press("ctrl+t")
            await driver.until_screen("Confirm")
            await driver.press("y")
            await driver.until(lambda: self.postal.sent)

        self.drive(steps)

    def test_what_is_no_address_is_named_and_nothing_is_sent(self) -> None:
        """The window stays, with what was written."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.press("ctrl+t")
            await driver.until(lambda: any("To is empty" in one.message for one in driver.app._notifications))
            await driver.type("dora at example")
            await driver.press("ctrl+t")
            await driver.until(lambda: any(one.message.startswith("To: ") for one in driver.app._notifications))
            self.assertEqual(type(driver.app.screen).__name__, "Composer")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])

    def test_another_account_writes_in_its_own_name(self) -> None:
        """From is chosen among the person's accounts; the copy goes into that account's Sent."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            driver.app.screen.query_one("#subject", Input).value = "From work"
            driver.app.screen.query_one("#body", TextArea).text = "Hello."
            driver.app.screen.query_one("#from", Select).value = "work"
            await self._send(driver)
            await driver.until(lambda: self.subjects("Sent", "work") == ["From work"])

        self.drive(steps)
        self.assertEqual(str(self._outgoing().sender.address), "work@example.org")


class HandlingTests(ScreenCase):
    """What becomes of a message that stays."""

    @tries("delete", "undelete")
    def test_deleting_goes_to_trash_first(self) -> None:
        """d moves, u brings back; d in Trash asks, then removes the file."""

        async def steps(driver: Driver) -> None:
            await driver.press("d")
            await driver.until(lambda: self.place(self.third) == "Trash")
            await driver.press("u")
            await driver.until(lambda: self.place(self.third) == "Inbox" and len(driver.messages.summaries) == 3)
            await driver.press("equals_sign", "d")
            await driver.until(lambda: self.place(self.third) == "Trash")
            await driver.press("c", *"jjjjj", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.third])
            await driver.press("d")
            await driver.until_screen("Confirm")
            await driver.press("y")
            await driver.until(lambda: self.subjects("Trash") == [])

        path = self.desk.archive.path(self.third)
        self.drive(steps)
        self.assertFalse(path.exists())
        self.assertEqual(list((self.folder / "mail" / "alice" / "Trash").glob("*.eml")), [])

    def test_what_lies_in_trash_comes_back_by_the_same_key(self) -> None:
        """u on a message in Trash."""
        self.desk.delete([self.first])

        async def steps(driver: Driver) -> None:
            await driver.press("c", *"jjjjj", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.first])
            await driver.press("u")
            await driver.until(lambda: self.place(self.first) == "Inbox")

        self.drive(steps)

    @tries("move")
    def test_a_message_is_moved_to_a_folder_that_is_chosen(self) -> None:
        """s, the folder's line, Enter."""
        self.desk.archive.add_folder(Place("alice", "Projects"))

        async def steps(driver: Driver) -> None:
            await driver.press("s")
            await driver.until_screen("Choose")
            # Drafts, Sent, Archive, Trash, Projects: neither where it lies nor the outbox.
            await driver.press("j", "j", "j", "j", "enter")
            await driver.until(lambda: self.place(self.third) == "Projects")

        self.drive(steps)

    @tries("archive")
    def test_one_key_archives(self) -> None:
        """a: the file lies in the folder Archive."""

        async def steps(driver: Driver) -> None:
            await driver.press("a")
            await driver.until(lambda: self.place(self.third) == "Archive")

        self.drive(steps)
        self.assertEqual(len(list((self.folder / "mail" / "alice" / "Archive").glob("*.eml"))), 1)

    @tries("flag", "unread")
    def test_marks_are_set_and_cleared(self) -> None:
        """F flags, F again takes it off; N marks what was read as unread."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "F")
            await driver.until(lambda: self.desk.archive.get(self.second).flags & Flag.FLAGGED)
            await driver.until(lambda: driver.current.flags & Flag.FLAGGED)
            await driver.press("F")
            await driver.until(lambda: not self.desk.archive.get(self.second).flags & Flag.FLAGGED)
            await driver.press("N")
            await driver.until(lambda: self.desk.archive.get(self.second).is_unread)

        self.drive(steps)

    @tries("tag")
    def test_tags_are_added_and_taken_off(self) -> None:
        """t shows those that are there; what is taken out of the line goes, +word comes."""
        self.desk.archive.set_tags([self.third], ["old"])

        async def steps(driver: Driver) -> None:
            await driver.press("t")
            await driver.until_screen("Ask")
            self.assertEqual(driver.app.screen.query_one(Input).value, "old")
            driver.app.screen.query_one(Input).value = "work +later"
            await driver.press("enter")
            await driver.until(lambda: self.desk.archive.get(self.third).tags == ("later", "work"))

        self.drive(steps)

    def test_deleting_in_the_outbox_makes_a_draft(self) -> None:
        """d on what waits to be sent stops it."""
        draft = self.desk.reply(self.desk.archive.get(self.third))
        self.desk.queue(self.desk.account("alice"), draft, hold=3600.0)

        async def steps(driver: Driver) -> None:
            await driver.press("c", "j", "j", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["Re: Third"])
            await driver.press("d")
            await driver.until(lambda: self.subjects("Drafts") == ["Re: Third"])

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])


class ProgramTests(ScreenCase):
    """The program as a whole."""

    @tries("fetch")
    def test_fetching_brings_mail_into_the_list(self) -> None:
        """G: what waited is on disk and in the list; a failure is told with its reason."""
        self.postal.waiting = [self.octets("Fresh")]
        self.postal.problem = "the other half did not come"

        async def steps(driver: Driver) -> None:
            await driver.press("G")
            await driver.until(lambda: "Fresh" in [one.subject for one in driver.messages.summaries])
            await driver.until(lambda: "the other half did not come" in driver.said)

        self.drive(steps)
        self.assertIn("Fresh", self.subjects("Inbox"))

    @tries("theme")
    def test_the_theme_is_kept_for_next_time(self) -> None:
        """T: light now, and when the program is opened again."""

        async def steps(driver: Driver) -> str:
            before = driver.app.theme
            await driver.press("T")
            await driver.until(lambda: driver.app.theme != before)
            return driver.app.theme

        async def look(driver: Driver) -> str:
            return driver.app.theme

        self.assertEqual(self.drive(steps), "light")
        self.assertEqual(self.drive(look), "light")
        self.assertEqual((self.folder / "state" / "theme").read_text(), "light")

    @tries("help")
    def test_the_help_names_every_key(self) -> None:
        """? shows the table that the bindings are made of."""

        async def steps(driver: Driver) -> str:
            await driver.press("question_mark")
            await driver.until_screen("Read")
            shown = " ".join(str(one.visual) for one in driver.app.screen.query("Static"))  # type: ignore[attr-defined]
            await driver.press("q")
            await driver.until_screen("MainScreen")
            return shown

        shown = self.drive(steps)
        for _, keys in SECTIONS:
            for key in keys:
                self.assertIn(key.help, shown)
                self.assertIn(key.shown, shown)

    @tries("quit")
    def test_q_goes_back_and_then_leaves(self) -> None:
        """From a message to the list, from the list out; the servers hear goodbye."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            driver.app.screen.query_one("#subject", Input).value = "x"
            driver.app.screen.query_one("#body", TextArea).text = "x"
            await driver.press("ctrl+t")
            await driver.until(lambda: self.postal.sent)
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key is not None)
            await driver.press("q")
            self.assertIs(driver.app.screen.focused, driver.messages)
            await driver.press("q")
            await driver.until(lambda: driver.app._exit)

        self.drive(steps)
        self.assertTrue(self.postal.closed)

    def test_a_picture_of_the_screen_loads_nothing(self) -> None:
        """The SVG shows the list and names no address of the web but its own namespace."""

        async def steps(driver: Driver) -> str:
            await driver.press("j", "enter")
            await driver.until(lambda: driver.reader.key == self.second)
            await driver.pilot.pause()
            return picture(driver.app)

        svg = self.drive(steps)
        self.assertEqual(set(re.findall(r"https?://[^\s\"')]+", svg)), {"http://www.w3.org/2000/svg"})
        self.assertNotIn("@font-face", svg)
        text = re.sub(r"<[^>]+>", " ", svg).replace("&#160;", " ")
        for word in ("Second", "plan.txt", "Inbox", "Reply"):
            self.assertIn(word, text)

    def test_without_an_account_it_says_how_to_add_one(self) -> None:
        """The screen opens, and the line at the bottom tells the command."""
        for name in ("alice", "work"):
            self.desk.accounts_file.remove(name)
        from emailsys.client.screen.app import MailApp

        async def run() -> None:
            app = MailApp(self.desk, lambda _: self.postal)
            async with app.run_test() as pilot:
                driver = Driver(self, app, pilot)
                await driver.until(lambda: "emailsys mail account add" in driver.said)

        asyncio.run(run())

    def test_every_key_of_the_help_is_tried(self) -> None:
        """A key that is added to the table without a test fails here."""
        self.assertEqual({key.action for _, keys in SECTIONS for key in keys} - _TRIED, set())
        self.assertTrue(Path(__file__).is_file())
