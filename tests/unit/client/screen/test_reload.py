"""A reload changes neither the message that keys act on nor what is in view."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.widgets import DataTable

from emailsys.client.archive.values import Addition, BadQuery, Flag, Folder
from emailsys.client.screen.list_sources import PAGE
from emailsys.client.screen.panes import Panes
from tests.unit.client.archive.test_archive import remove_file
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class ReloadTests(ScreenCase):
    def arrive_many(self, count: int, name: str = "Number") -> list[str]:
        """Put small messages into the Inbox. Return their keys, the oldest first."""
        octets = [b"From: bob@example.org\r\nSubject: %s %d\r\n\r\nx\r\n" % (name.encode(), n) for n in range(count)]
        return self.mailbox.archive.add_many(
            [Addition(one, Folder("alice", "Inbox"), flags=Flag.SEEN) for one in octets]
        )

    def test_new_messages_push_the_current_one_to_the_next_page_and_it_stays_current(self) -> None:
        self.arrive_many(PAGE)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.until(lambda: driver.messages.row_count >= PAGE)
            screen.go_to_row(PAGE - 45)
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key is not None)
            key = driver.current.key
            self.arrive_many(60, "New")
            await screen.reload()
            self.assertEqual((driver.current.key, driver.reader.key), (key, key))

        self.drive(steps)

    def test_a_reload_leaves_the_lines_in_view_where_the_wheel_brought_them(self) -> None:
        self.arrive_many(100)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            pane = driver.messages
            await driver.until(lambda: pane.max_scroll_y > 60)
            await driver.app.workers.wait_for_complete()
            await driver.pilot.pause()
            pane.scroll_to(y=50, animate=False)
            await driver.until(lambda: int(pane.scroll_offset.y) == 50)
            top = pane.summaries[50].key

            async def reload() -> None:
                await screen.reload()
                await driver.pilot.pause()
                await driver.pilot.pause()
                self.assertEqual(pane.summaries[int(pane.scroll_offset.y)].key, top)

            await reload()
            self.arrive_many(3, "New")
            await reload()
            self.mailbox.archive.delete([pane.summaries[10]])
            await reload()

        self.drive(steps)

    def test_a_check_reads_the_list_again_only_after_a_change(self) -> None:
        reloads: list[int] = []
        reload = Panes.reload

        async def counted(panes: Panes) -> None:
            reloads.append(1)
            await reload(panes)

        self.patch(Panes, "reload", counted)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            check = screen.archive_check
            await check.run()
            reloads.clear()
            await check.run()
            self.assertEqual(len(reloads), 0)
            key = self.arrive_many(1)[0]
            await check.run()
            self.assertEqual(len(reloads), 1)
            remove_file(self.mailbox.archive.path(key))
            await asyncio.gather(check.run(), check.run())
            self.assertEqual(len(reloads), 2)
            self.assertNotIn(key, [one.key for one in driver.messages.summaries])

        self.drive(steps)

    def test_a_list_that_cannot_be_read_is_told_once(self) -> None:
        """For example a saved search for a folder that is gone."""

        failing: list[bool] = []
        reload = Panes.reload

        async def maybe(panes: Panes) -> None:
            if failing:
                raise BadQuery("folder:Gone: there is none of that name")
            await reload(panes)

        self.patch(Panes, "reload", maybe)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await screen.archive_check.run()
            failing.append(True)
            key = self.arrive_many(1)[0]
            with self.assertRaises(BadQuery):
                await screen.archive_check.run()
            await screen.archive_check.run()
            failing.clear()
            await screen.archive_check.run()
            self.assertIn(key, [one.key for one in driver.messages.summaries])

        self.drive(steps)

    def test_a_report_that_lasts_is_told_once(self) -> None:
        """For example that the disk is full."""

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            for reports in (["full"], ["full", "other"], [], ["full"]):
                self.mailbox.archive.reports.extend(reports)
                await screen.archive_check.run()
            self.assertEqual(driver.toasts, ["full", "other", "full"])

        self.drive(steps)

    def test_a_conversation_stays_when_the_message_it_was_opened_from_is_gone(self) -> None:
        question = b"From: b@x.test\r\nSubject: question\r\nMessage-ID: <q@x.test>\r\n\r\nx\r\n"
        answer = b"From: b@x.test\r\nSubject: answer\r\nReferences: <q@x.test>\r\n\r\nx\r\n"
        self.mailbox.archive.add_many([Addition(one, Folder("alice", "Inbox")) for one in (question, answer)])

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            subjects = lambda: [one.subject for one in driver.messages.summaries]  # noqa: E731
            await driver.until(lambda: "answer" in subjects())
            screen.go_to_row(subjects().index("question"))
            await driver.press("C")
            await driver.until(lambda: sorted(subjects()) == ["answer", "question"])
            self.mailbox.archive.purge([driver.current.key])
            await screen.archive_check.run()
            self.assertEqual(subjects(), ["answer"])
            (found,) = screen.source.matching(self.mailbox.archive, "")
            self.assertEqual(found.subject, "answer")

        self.drive(steps)

    def test_many_messages_leave_the_list_without_removing_line_by_line(self) -> None:
        self.arrive_many(150)
        removed: list[Any] = []
        self.patch(DataTable, "remove_row", lambda table, key: removed.append(key))

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.until(lambda: driver.messages.row_count == 153)
            screen.go_to_row(140)
            current = driver.current
            keys = [one.key for one in driver.messages.summaries]
            driver.messages.drop(set(keys[20:120]))
            rest = keys[:20] + keys[120:]
            self.assertEqual([one.key for one in driver.messages.summaries], rest)
            self.assertEqual([str(one.value) for one in driver.messages.rows], rest)
            self.assertEqual((driver.current.key, removed), (current.key, []))

        self.drive(steps)
