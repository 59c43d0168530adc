"""The bottom line of a screen: the keys that do something now, which a click presses, too."""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding
from textual.events import MouseDown
from textual.screen import Screen
from textual.widget import Widget
from typing_extensions import override

_KEY: Final = "key-line--key"
_DESCRIPTION: Final = "key-line--description"


class _Shown(NamedTuple):
    key: str
    label: str
    description: str
    enabled: bool

    @property
    def width(self) -> int:
        """In columns."""
        return cell_len(f" {self.label} {self.description} ")


class KeyLine(Widget, can_focus=False):
    """Shows the keys of the screen and of the widget with the focus.

    Textual's Footer has a widget for each key and makes all of them anew whenever the focus moves. That took a third of
    the time of the full screen; this is one widget that draws one line.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {_KEY, _DESCRIPTION}
    DEFAULT_CSS = """
    KeyLine {
        dock: bottom;
        height: 1;
        color: $footer-foreground;
        background: $footer-background;
        .key-line--key {
            color: $footer-key-foreground;
            background: $footer-key-background;
            text-style: bold;
        }
        .key-line--description {
            color: $footer-description-foreground;
            background: $footer-description-background;
        }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[_Shown] = []

    def on_mount(self) -> None:
        """Follow the screen's keys."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def on_unmount(self) -> None:
        """Follow them no longer."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _follow(self, screen: Screen[object]) -> None:
        # Without the terminal's focus no key reaches the program; the line stays as it was.
        if screen is not self.screen or not self.app.app_focus:
            return
        shown = list(self._keys(screen))
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def _keys(self, screen: Screen[object]) -> list[_Shown]:
        # Of several keys for one action, the first.
        first: dict[str, tuple[Binding, bool]] = {}
        for _, binding, enabled, _ in screen.active_bindings.values():
            if binding.show:
                first.setdefault(binding.action, (binding, enabled))
        return [
            _Shown(binding.key, self.app.get_key_display(binding), binding.description, enabled)
            for binding, enabled in first.values()
        ]

    @override
    def render(self) -> Text:
        key, description = self.get_component_rich_style(_KEY), self.get_component_rich_style(_DESCRIPTION)
        line = Text(no_wrap=True, end="")
        for one in self._shown:
            if line.cell_len + one.width > self.size.width:
                # What has no room: the help has all keys.
                line.append("…", description)
                break
            begin = len(line)
            line.append(f" {one.label} ", key).append(f"{one.description} ", description)
            if not one.enabled:
                line.stylize("dim", begin)
        return line

    def key_at(self, column: int) -> str | None:
        """Return the key that is shown in a column of the line, from 0; None where there is none."""
        end = self.size.width
        for one in self._shown:
            end -= one.width
            if end < 0:
                return None
            column -= one.width
            if column < 0:
                return one.key if one.enabled else None
        return None

    def on_mouse_down(self, event: MouseDown) -> None:
        """Press the key that was clicked."""
        key = self.key_at(event.x)
        if key is None:
            self.app.bell()
        else:
            self.app.simulate_key(key)
