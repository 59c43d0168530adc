"""Reader pane: shows one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static
from typing_extensions import override

from emailsys.client.screen.message_pieces import Piece, pieces, placed_pictures
from emailsys.client.screen.survival import Surviving

if TYPE_CHECKING:
    from emailsys.client.display.message import MessageView
    from emailsys.client.screen.terminal_pictures import ShownPicture


class ReaderPane(Surviving, VerticalScroll):
    """Shows header fields, attachments, text and defects of a message, and lays out long text as it is scrolled."""

    def __init__(self) -> None:
        super().__init__(id="reader")
        #: The key of the open message; None if no message is open.
        self.key: str | None = None
        # What is not laid out yet, and the piece that comes next.
        self._rest: Iterator[Piece] = iter(())
        self._next: Piece | None = None
        self._more: list[Static] = []
        self._is_loading = False
        # Counts what the pane was asked to show, so that a layout of something earlier is not taken for the last one.
        self._shown = 0
        self._is_laid_out = self._is_whole = False
        # Keys that were pressed before the text was there, in their order.
        self._waiting: list[Callable[[], None]] = []
        # The pictures that are shown, and those that come when the end of the text is near.
        self._pictures: list[ShownPicture] = []
        self._hidden: list[ShownPicture] = []
        # The numbers of those that have a place in the text. For each whose place is laid out: what it stands below.
        self._placed: AbstractSet[str] = frozenset()
        self._above: dict[str, Widget] = {}
        # Those whose place is not laid out yet.
        self._early: dict[str, ShownPicture] = {}

    @override
    def compose(self) -> ComposeResult:
        yield Static("", markup=False, id="text")

    def show(
        self,
        key: str,
        view: MessageView,
        headers: Sequence[tuple[str, str]],
        keep_position: bool = False,
        is_whole: bool = True,
    ) -> None:
        """Show the beginning of a message, or the message again without moving it.

        @param is_whole: whether this is all of the message, and not what could be read so far.
        """
        if self.key != key:
            self._waiting = []
        self.key = key
        self._shown += 1
        self._is_laid_out, self._is_whole = False, is_whole
        self.add_class("open")
        self._drop_pictures()
        self._placed = placed_pictures(view)
        self._rest = pieces(view, headers)
        self._fill(self.query_one("#text", Static), next(self._rest))
        if keep_position:
            for piece in self._more:
                self._fill(piece, next(self._rest, Piece()))
        else:
            for piece in self._more:
                piece.remove()
            self._more = []
            self.action_scroll_home()
        self._next = next(self._rest, None)
        text = self.query_one("#text", Static)
        # The text asks for its layout before it hands this on.
        text.call_after_refresh(self._laid_out, self._shown)

    def _laid_out(self, shown: int) -> None:
        if shown == self._shown:
            self._is_laid_out = True
            self._load()

    def when_ready(self, act: Callable[[], None]) -> None:
        """Run what a key does: at once, or as soon as the text that it is for is laid out."""
        self._waiting.append(act)
        self._run_waiting()

    def _run_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting and self._is_ready:
            # It may open another message, which the rest then is for, or close this one.
            waiting.pop(0)()
        self._waiting = waiting if self.key is not None else []

    @property
    def _is_ready(self) -> bool:
        # Without a height, the pane itself is not laid out.
        is_shown = self.key is not None and self._is_laid_out and not self._is_loading and self.size.height > 0
        return is_shown and (self._is_whole or self.scroll_offset.y < self.max_scroll_y)

    def _fill(self, shown: Static, piece: Piece) -> None:
        shown.update(piece.text)
        for number in piece.pictures:
            self._above[number] = shown

    def _load(self) -> None:
        """Lay out the next piece if the end of the last one comes near."""
        if self._is_loading:
            return
        if self.max_scroll_y - self.scroll_offset.y > 2 * self.size.height:
            self._run_waiting()
            return
        if self._next is None:
            self._load_picture()
            return
        self._is_loading = True
        piece, self._next = self._next, next(self._rest, None)
        shown = Static(markup=False)
        self._more.append(shown)
        self.mount(shown)
        self._fill(shown, piece)
        for number in piece.pictures:
            if number in self._early:
                self._place(number, self._early.pop(number))
        self.call_after_refresh(self._loaded)

    def _load_picture(self) -> None:
        if self._hidden:
            self._is_loading = True
            self._pictures.append(self._hidden.pop(0))
            self.mount(self._pictures[-1])
            self.call_after_refresh(self._loaded)
        else:
            self._run_waiting()

    def add_picture(self, number: str, picture: ShownPicture) -> None:
        """Show a picture in its place: below the line that names the number of its part, or else below the text."""
        if number in self._above:
            self._place(number, picture)
        elif number in self._placed:
            self._early[number] = picture
        else:
            self._hidden.append(picture)
            self._load()

    def _place(self, number: str, picture: ShownPicture) -> None:
        above = self._above[number]
        # The next picture of the same line stands below this one.
        self._above |= {one: picture for one, widget in self._above.items() if widget is above}
        self._pictures.append(picture)
        self.mount(picture, after=above)

    def _drop_pictures(self) -> None:
        for one in self._pictures:
            one.free()
            one.remove()
        self._pictures, self._hidden = [], []
        self._placed, self._above, self._early = frozenset(), {}, {}

    def _loaded(self) -> None:
        self._is_loading = False
        self._load()

    @override
    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load()

    def on_resize(self, event: events.Resize) -> None:
        """Go on when the pane has got its height, or more of it."""
        if self._is_laid_out:
            self._load()

    # Each of these scrolls at once, and not after the next drawing: the next key starts from where this one led.

    @override
    def action_page_down(self) -> None:
        """Scroll a page down."""
        self._go_to_line(self.scroll_offset.y + self.scrollable_content_region.height)

    @override
    def action_page_up(self) -> None:
        """Scroll a page up."""
        self._go_to_line(self.scroll_offset.y - self.scrollable_content_region.height)

    @override
    def action_scroll_down(self) -> None:
        """Scroll a line down."""
        self._go_to_line(self.scroll_offset.y + 1)

    @override
    def action_scroll_up(self) -> None:
        """Scroll a line up."""
        self._go_to_line(self.scroll_offset.y - 1)

    @override
    def action_scroll_home(self) -> None:
        """Scroll to the beginning."""
        self._go_to_line(0)

    @override
    def action_scroll_end(self) -> None:
        """Scroll to the end of what is laid out."""
        self._go_to_line(self.max_scroll_y)

    def _go_to_line(self, line: int) -> None:
        self.scroll_to(y=line, animate=False, immediate=True)

    def close(self) -> None:
        """Close the message, so that the list gets the whole height."""
        self.key = None
        self._waiting = []
        self._drop_pictures()
        self.remove_class("open")

    @property
    def at_end(self) -> bool:
        """Whether the last line is visible."""
        return self._next is None and not self._hidden and self.scroll_offset.y >= self.max_scroll_y
