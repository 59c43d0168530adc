"""What is shown is what keys act on, however slowly the work of earlier keys ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from emailsys.client.archive.listing import Arrangement
from emailsys.client.archive.values import Addition, Flag, Folder, Summary
from emailsys.client.screen.arrangements import Arrangements
from emailsys.client.screen.list_sources import FolderList
from emailsys.client.screen.main_screen import MainScreen
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.panes import Panes
from tests.unit.client.screen.screen_case import Driver, ScreenCase

_KEYS: Final = 1000
_TREE_KEYS: Final = 300
_MOVES: Final = ("next", "next", "previous", "open", "open", "to_list", "next_unread", "first", "last", "page_down")
_ACTIONS: Final = ("delete", "archive", "flag", "unread", "undelete", "undelete", "reply", "edit")


async def counted(panes: Panes) -> None:
    """Show the title without counts."""
    panes.show_title()


class ShownTests(ScreenCase):
    def delay(self, chance: random.Random) -> None:
        """Let the result of each step of a thread come some turns of the event loop later, and overtake others."""

        async def late(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            result = work(*arguments, **named)
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            return result

        self.patch(asyncio, "to_thread", late)

    def record_objects(self) -> list[str]:
        """Record the messages that are answered or written anew."""
        objects: list[str] = []

        async def act(actions: OutboxActions, summary: Summary, *more: object) -> None:
            objects.append(summary.key)

        self.patch(OutboxActions, "answer", act)
        self.patch(OutboxActions, "edit", act)
        return objects

    def test_each_of_a_thousand_keys_acts_on_the_message_on_the_screen(self) -> None:
        """At each key, the reader shows the current message; at the end, the disk has what the keys did."""
        self.press_keys(_KEYS, _MOVES)

    def test_in_collapsed_conversations_keys_act_on_all_messages(self) -> None:
        """Conversations are collapsed and expanded at random. Keys act on what the line stands for."""
        state = Arrangements(self.mailbox.paths.state)
        state.choose(FolderList(Folder("alice", "Inbox")), Arrangement(threads=True))
        self.press_keys(_TREE_KEYS, (*_MOVES, *["collapse", "collapse_all", "to_list"] * 2))

    def press_keys(self, count: int, moves: Sequence[str]) -> None:
        """Press keys at random, and compare the disk and the list with what they should do."""
        for number in range(20):
            octets = b"From: bob@example.org\r\nSubject: Number %d\r\nMessage-ID: <%d@x>\r\n" % (number, number)
            # Conversations of four messages, each of which answers the one before.
            octets += b"References: <%d@x>\r\n\r\ntext\r\n" % (number - 1) if number % 4 else b"\r\ntext\r\n"
            flags_of_it = Flag.SEEN if number % 3 else Flag.NONE
            self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox"), flags=flags_of_it))
        chance = random.Random(14)
        self.delay(chance)
        # Counting takes most of the time, and is no object of keys.
        self.patch(Panes, "update_counts", counted)
        objects = self.record_objects()
        inbox = self.mailbox.archive.list(Folder("alice", "Inbox"))
        folders = {one.key: "Inbox" for one in inbox}
        flags = {one.key: one.flags for one in inbox}
        undo: list[list[str]] = []
        expected: list[str] = []

        open_message = MainScreen.open_message

        def opened(screen: MainScreen, summary: Summary) -> None:
            flags[summary.key] |= Flag.SEEN
            open_message(screen, summary)

        self.patch(MainScreen, "open_message", opened)

        async def press(driver: Driver, action: str) -> None:
            screen: Any = driver.app.screen
            before = screen.current
            if driver.reader.key is not None:
                self.assertEqual(driver.reader.key, driver.current.key)
                self.assertIn(f"Subject: {before.subject}\n", driver.read)
            is_free = screen.check_action(action, ())
            line = driver.messages.lines[driver.messages.cursor_row] if driver.messages.lines else None
            objects_of = [line.summary.key] if line is not None else []
            if line is not None and driver.reader.key is None:
                objects_of += [one.key for one in line.hidden]
            await driver.app.run_action(action, screen)
            if not is_free or (before is None and action != "undelete"):
                return
            match action:
                case "delete" | "archive":
                    folders.update(dict.fromkeys(objects_of, {"delete": "Trash", "archive": "Archive"}[action]))
                    undo.append(objects_of)
                case "undelete" if undo:
                    folders.update(dict.fromkeys(undo.pop(), "Inbox"))
                case "flag" | "unread":
                    flag = Flag.FLAGGED if action == "flag" else Flag.SEEN
                    has_all = all(flags[key] & flag for key in objects_of)
                    for key in objects_of:
                        flags[key] = flags[key] & ~flag if has_all else flags[key] | flag
                case "reply" | "edit":
                    expected.append(before.key)

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: driver.messages.row_count == 23)
            screen: Any = driver.app.screen
            self.assertEqual(screen.arrangement.threads, "collapse" in moves)
            with driver.app.batch_update():
                for _ in range(count):
                    await press(driver, chance.choice(moves if chance.random() < 0.7 else _ACTIONS))
                    for _ in range(chance.choice((0, 0, 0, 12))):
                        await asyncio.sleep(0)
            await driver.app.workers.wait_for_complete()
            await driver.pilot.pause()
            stored = {key: self.mailbox.archive.get(key) for key in folders}
            self.assertEqual({key: one.folder.name for key, one in stored.items()}, folders)
            self.assertEqual({key: one.flags for key, one in stored.items()}, flags)
            shown = [one.key for line in driver.messages.lines for one in (line.summary, *line.hidden)]
            here = [one.key for one in inbox if folders[one.key] == "Inbox"]
            self.assertEqual(
                sorted(shown) if "collapse" in moves else shown, sorted(here) if "collapse" in moves else here
            )
            self.assertEqual(objects, expected)
            self.assertGreater(len(expected), count // 50)

        self.drive(steps, size=(60, 12))

    def test_a_burst_of_d_moves_one_message_for_each_key_and_deletes_none(self) -> None:
        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            for _ in range(6):
                screen.action_delete()
            await driver.until(lambda: len(self.subjects("Trash")) == 3)
            await driver.app.workers.wait_for_complete()
            self.assertEqual(self.subjects("Trash"), ["Third", "Second", "First"])

        self.drive(steps)

    def test_d_on_a_line_that_another_program_moved_to_trash_leaves_it_there(self) -> None:
        async def steps(driver: Driver) -> None:
            self.mailbox.delete([self.mailbox.archive.get(self.third)])
            await driver.press("d")
            await driver.until(lambda: driver.current.key == self.second and "Another program" in driver.said)
            await driver.app.workers.wait_for_complete()
            self.assertEqual(self.folder_of(self.third), "Trash")
            await driver.press("u")
            await driver.until(lambda: "nothing to undo" in driver.said)

        self.drive(steps)

    def test_a_removed_last_message_leaves_the_list(self) -> None:
        async def steps(driver: Driver) -> None:
            self.mailbox.archive.move([self.first], Folder("alice", "Archive"))
            screen: Any = driver.app.screen
            await screen.reload()
            self.assertEqual([one.key for one in driver.messages.summaries], [self.third, self.second])

        self.drive(steps)

    def test_keys_typed_before_a_dialog_opens_move_and_delete_nothing(self) -> None:
        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            for action in ("search", "delete", "archive", "flag"):
                await driver.app.run_action(action, screen)
            await driver.until_screen("InputDialog")
            self.assertEqual(self.subjects("Inbox"), ["Third", "Second", "First"])
            await driver.press("escape")

        self.drive(steps)
