"""The full screen of `watch`: conversations, events, filter, pause, follow, jumps, and small screens."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.options import Refused
from emailsys.cli.watching.panes import ConversationPane, EventPane, HeadingLine
from emailsys.cli.watching.program import WatchProgram
from emailsys.wiretap.recorder import Recorder
from tests.fakes.client.telling_loop import drive
from tests.unit.cli.watching.test_lines import begun

# Seconds after which waiting for a condition fails.
_PATIENCE = 60.0


class Stage:
    """A program, a recorder that feeds it, and a driver."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self.lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.records = Recorder(20, 64 * 1024)
        self.app = WatchProgram(self._stream(), words)
        self.pilot: Pilot[Any]

    def _stream(self) -> Iterator[dict[str, Any]]:
        while (line := self.lines.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield line

    def converse(self, session: str, protocol: str = "smtp", *lines: str) -> None:
        """A conversation of commands and replies, which begin with < and >."""
        end = self.records.watch(lambda line: self.lines.put(json.loads(line)), 0)
        tap = self.records.begin(protocol, False, session)
        tap.opened(f"192.0.2.7:{len(session)}", "192.0.2.1:25")
        for line in lines:
            if line[0] == "<":
                tap.command(line[2:].encode(), len(line))
            else:
                tap.reply(f"{line[2:]}\r\n".encode())
        tap.closed("closed by the peer")
        end()

    @property
    def conversations(self) -> ConversationPane:
        """The left pane."""
        return self.app.query_one("#conversations", ConversationPane)

    @property
    def events(self) -> EventPane:
        """The right pane."""
        return self.app.query_one("#events", EventPane)

    @property
    def bar(self) -> str:
        """The first line."""
        return str(self.app.query_one("#bar", Static).visual)

    @property
    def explanation(self) -> str:
        """The pane below the events."""
        return str(self.app.query_one("#explanation", Static).visual)

    def rows(self, pane: Any) -> list[str]:
        """The texts of a pane."""
        return [str(pane.get_option_at_index(at).prompt) for at in range(pane.option_count)]

    async def press(self, *keys: str) -> None:
        """Press keys."""
        for key in keys:
            await self.pilot.press(key)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what a thread or a timer does."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not fulfilled: {self.bar!r} {self.rows(self.events)!r}")
            await self.pilot.pause()
            await asyncio.sleep(0.005)


class ProgramTests(SynchronousTestCase):
    """The program without a terminal."""

    def drive(
        self,
        steps: Callable[[Stage], Awaitable[None]],
        size: tuple[int, int] = (80, 24),
        words: tuple[str, ...] = (),
    ) -> None:
        stage = Stage(words)

        async def run() -> None:
            async with stage.app.run_test(size=size) as pilot:
                stage.pilot = pilot
                try:
                    await steps(stage)
                finally:
                    stage.lines.put(None)

        drive(self, run())

    def test_the_newest_conversation_is_followed_and_its_lines_are_explained(self) -> None:
        async def steps(stage: Stage) -> None:
            await stage.until(lambda: stage.bar == "connecting")
            stage.lines.put({"watching": True})
            stage.converse("1", "smtp", "> 220 mx", "< EHLO me", "> 250 mx", "< RCPT TO:<a@b>", "> 550 5.1.1 nobody")
            await stage.until(lambda: stage.events.option_count == 7)
            await stage.until(lambda: stage.bar == "1 of 1 conversations, following")
            stage.converse("22", "pop3", "> +OK ready", "< QUIT", "> +OK bye")
            await stage.until(lambda: "> +OK bye" in str(stage.rows(stage.events)))
            first, second = stage.rows(stage.conversations)
            self.assertRegex(first, r"^! \d\d:\d\d:\d\d smtp < 192.0.2.7:1$")
            self.assertRegex(second, r"^  \d\d:\d\d:\d\d pop3 < 192.0.2.7:2$")
            await stage.press("up")
            await stage.until(lambda: "< EHLO me" in str(stage.rows(stage.events)))
            await stage.until(lambda: stage.bar == "2 of 2 conversations")
            # What is new does not take the cursor away.
            stage.converse("333")
            await stage.until(lambda: len(stage.conversations.shown) == 3)
            self.assertEqual(stage.conversations.highlighted, 0)
            await stage.press("enter", "up")
            await stage.until(lambda: "RFC 5321" in stage.explanation)
            self.assertIn("5.1.1", stage.explanation)
            await stage.press("e")
            self.assertIn("\n    ", stage.rows(stage.events)[2])
            await stage.press("f")
            await stage.until(lambda: stage.conversations.highlighted == 2)

        self.drive(steps)

    def test_each_key_of_one_burst_is_for_what_the_keys_before_it_lead_to(self) -> None:
        """A filter, the conversation above, and its error: one write of the terminal has all these keys."""

        async def steps(stage: Stage) -> None:
            stage.lines.put({"watching": True})
            stage.converse("1", "smtp", "> 220 mx", "< EHLO me", "> 502 no")
            stage.converse("22", "smtp", "> 220 mx", "< QUIT")
            stage.converse("333", "pop3", "> +OK ready")
            await stage.until(lambda: len(stage.conversations.shown) == 3)
            for key in ("slash", *"protocol:smtp", "enter", "up", "enter", "home", "n", "space"):
                stage.app.post_message(events.Key(key, key if len(key) == 1 else None))
            await stage.until(lambda: stage.bar == "2 of 3 conversations, filter: protocol:smtp, PAUSED")
            self.assertIs(stage.app.focused, stage.events)
            self.assertIn("502 no", stage.rows(stage.events)[stage.events.highlighted or 0])

        self.drive(steps)

    def test_n_jumps_to_what_a_reader_looks_for(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.converse("1", "smtp", "> 220 mx", "< EHLO me", "> 502 no", "< HELO me", "> 250 mx", "< QUIT")
            await stage.until(lambda: stage.events.option_count == 8)
            await stage.press("enter", "home", "n")
            self.assertIn("502 no", stage.rows(stage.events)[stage.events.highlighted or 0])
            await stage.press("n")
            self.assertIn("CLOSED", stage.rows(stage.events)[stage.events.highlighted or 0])
            await stage.press("n", "p")
            self.assertIn("502 no", stage.rows(stage.events)[stage.events.highlighted or 0])

        self.drive(steps)

    def test_the_line_under_the_cursor_stays_visible_when_its_explanation_is_long(self) -> None:
        """The explanation takes rows from the events; the line that it explains must not be among them."""

        async def steps(stage: Stage) -> None:
            stage.lines.put({"watching": True})
            stage.converse("1", "smtp", "> 220 mx", *["< NOOP", "> 250 OK"] * 12, "< QUIT", "> 221 2.0.0 bye")
            await stage.until(lambda: stage.events.option_count == 29)
            await stage.press("enter")
            height = stage.events.size.height
            await stage.press("up")
            await stage.until(lambda: "3463" in stage.explanation and stage.events.size.height < height)
            await stage.until(lambda: self._is_visible(stage.events))
            height = stage.events.size.height
            await stage.pilot.resize_terminal(80, 20)
            await stage.until(lambda: stage.events.size.height < height and self._is_visible(stage.events))

        self.drive(steps)

    def _is_visible(self, events: EventPane) -> bool:
        """Whether the row under the cursor is on the screen, if each row has one line."""
        at = events.highlighted
        return at is not None and events.scroll_offset.y <= at < events.scroll_offset.y + events.size.height

    def test_a_conversation_is_drawn_as_a_ladder_while_it_happens(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.lines.put(begun("1", peer="192.0.2.7:40000", local="192.0.2.1:25", events=()))
            kinds = (
                ("reply", "out", "220 mx"),
                ("command", "in", "EHLO \u4e2d\u6587.example"),
                ("verdict", None, "refused"),
            )
            for at, (kind, direction, text) in enumerate(kinds, 1):
                event = {"at": float(at), "kind": kind, "text": text}
                stage.lines.put({"session": "1", "event": event | ({"direction": direction} if direction else {})})
                await stage.until(lambda at=at: stage.events.option_count == at)  # type: ignore[misc]
            sealed = {"at": 4.0, "kind": "tls", "direction": "out", "text": "Finished", "details": {"encrypted": True}}
            stage.lines.put({"session": "1", "event": sealed})
            stage.lines.put({"session": "1", "event": {"at": 5.0, "kind": "body", "direction": "in", "octets": 7}})
            stage.lines.put({"session": "1", "event": {"at": 6.0, "kind": "state", "text": "x" * 300}})
            await stage.until(lambda: stage.events.option_count == 6)
            await stage.press("e")
            width = stage.events.scrollable_content_region.width
            rungs = stage.rows(stage.events)
            for row, pattern in zip(
                rungs,
                (
                    r"│◀─{20,} 220 mx ─│",
                    r"│─ EHLO 中文\.example ─{20,}▶│",
                    r"│ +VERDICT: refused +│",
                    r"│◀═{20,} Finished ═│",
                    r"│─ message, 7 B ─{20,}▶│",
                    r"│ STATE: x+… │",
                ),
                strict=True,
            ):
                self.assertRegex(row, rf"^\d\d:\d\d\.\d\d\d {pattern}$")
                self.assertEqual(cell_len(row), width)
            heading = stage.app.query_one("#heading", HeadingLine)
            self.assertRegex(str(heading.render()), r"^ +client 192.0.2.7:40000 +192.0.2.1:25 server$")
            # The rungs follow the window. One that is too narrow shows lines, and so does L.
            await stage.pilot.resize_terminal(160, 30)
            await stage.until(lambda: cell_len(stage.rows(stage.events)[0]) == width + 40)
            await stage.until(lambda: cell_len(str(heading.render())) == width + 40)
            await stage.pilot.resize_terminal(72, 30)
            await stage.until(lambda: stage.rows(stage.events)[0].endswith("> 220 mx"))
            await stage.pilot.resize_terminal(120, 30)
            await stage.until(lambda: "◀" in stage.rows(stage.events)[0])
            await stage.press("l")
            self.assertTrue(stage.rows(stage.events)[0].endswith("> 220 mx"))
            self.assertFalse(heading.display)

        self.drive(steps, size=(120, 30))

    def test_a_filter_chooses_conversations_and_escape_leaves_it(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.lines.put({"watching": True})
            stage.converse("1", "smtp", "> 220 mx", "< RCPT TO:<bob@example.org>")
            stage.converse("2", "pop3", "> +OK")
            await stage.until(lambda: len(stage.conversations.shown) == 1)
            await stage.until(lambda: "filter: protocol:pop3" in stage.bar)
            await stage.press("slash", "ctrl+u", *"BOB", "enter")
            await stage.until(lambda: [one.about.id for one in stage.conversations.shown] == ["1"])
            await stage.press("slash", *"xyz", "escape")
            self.assertIs(stage.app.focused, stage.conversations)
            self.assertEqual(len(stage.conversations.shown), 1)
            await stage.press("slash", "ctrl+u", "enter")
            await stage.until(lambda: len(stage.conversations.shown) == 2)

        self.drive(steps, words=("protocol:pop3",))

    def test_a_paused_screen_stands_still_and_then_shows_all(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.lines.put({"watching": True})
            stage.converse("1")
            await stage.until(lambda: len(stage.conversations.shown) == 1)
            await stage.press("space")
            stage.converse("2")
            await stage.until(lambda: len(stage.app.heard.conversations) == 2)
            await stage.until(lambda: "PAUSED" in stage.bar)
            self.assertEqual(stage.conversations.option_count, 1)
            await stage.press("space")
            self.assertEqual(stage.conversations.option_count, 2)

        self.drive(steps)

    def test_a_small_screen_shows_one_pane_at_a_time(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.converse("1", "smtp", "> 220 mx")
            await stage.until(lambda: stage.events.option_count == 3)
            right = stage.app.query_one("#right")
            self.assertEqual((stage.conversations.size.width, right.display), (40, False))
            await stage.press("enter")
            await stage.until(lambda: right.display)
            self.assertFalse(stage.conversations.display)
            await stage.press("escape")
            await stage.until(lambda: stage.conversations.display)
            self.assertFalse(right.display)

        self.drive(steps, size=(40, 15))

    def test_markup_and_control_characters_of_strangers_are_only_text(self) -> None:
        async def steps(stage: Stage) -> None:
            # The recorder escapes; a hostile daemon might not.
            stage.lines.put(begun("1", peer="[bold]x[/bold]\x1b[2J", events=()))
            for text in ("[red]250[/red]", "250 \x1b]0;title\x07", "[@click=app.quit]click[/]"):
                event = {"at": 1.0, "kind": "reply", "direction": "out", "text": text}
                stage.lines.put({"session": "1", "event": event})
            await stage.until(lambda: stage.events.option_count == 3)
            shown = "".join(stage.rows(stage.conversations) + stage.rows(stage.events))
            self.assertIn("[bold]x[/bold]", shown)
            self.assertIn("[@click=app.quit]click[/]", shown)
            self.assertTrue(shown.isprintable())

        self.drive(steps)

    def test_the_end_of_the_daemon_is_told_and_the_screen_stays(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.converse("1", "smtp", "> 220 mx")
            stage.lines.put({"lost": 7})
            stage.lines.put(Refused("the daemon has ended the stream."))
            await stage.until(lambda: stage.bar.startswith("The daemon has ended the stream."))
            self.assertIn("7 events lost", stage.bar)
            self.assertEqual(stage.conversations.option_count, 1)
            await stage.press("q")

        self.drive(steps)

    def test_what_another_release_sends_ends_nothing(self) -> None:
        async def steps(stage: Stage) -> None:
            stage.lines.put({"conversation": {"role": "observer"}})
            await stage.until(lambda: "does not understand" in stage.bar)

        self.drive(steps)
