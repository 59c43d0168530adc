"""Pictures in the terminal: whether it can show them, by the protocols of kitty or by sixels, and the widget."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static
from typing_extensions import override

from emailsys.upstream import sixel_picture, terminal_answer

if TYPE_CHECKING:
    from PIL.Image import Image

# What terminals that show pictures put into the environment: a variable and its value.
_HINTS: Final = (
    ("TERM", re.compile(r"xterm-(?:kitty|ghostty)|(?:foot|mlterm|contour|wezterm)(?:-.*)?")),
    ("TERM_PROGRAM", re.compile(r"WezTerm|iTerm\.app|ghostty|contour|mintty")),
    ("KITTY_WINDOW_ID", re.compile(r".+")),
    ("KONSOLE_VERSION", re.compile(r".+")),
    ("WT_SESSION", re.compile(r".+")),
    ("XTERM_VERSION", re.compile(r".+")),
)
# Inside these, the terminal around them does not show what is written for it.
_MULTIPLEXERS: Final = ("TMUX", "STY", "ZELLIJ")
_KITTY: Final = re.compile(r"kitty\((\d+)\.(\d+)")
# Seconds for an answer of a terminal that is known to answer.
_PATIENCE: Final = 1.0
# Pixels of a column of most terminals. The height of the picture follows from its width.
_COLUMN: Final = 10


def is_worth_asking(environment: Mapping[str, str]) -> bool:
    """Whether the terminal names itself as one that may show pictures. All of these answer questions at once."""
    if any(environment.get(name) for name in _MULTIPLEXERS):
        return False
    return any(value.fullmatch(environment.get(name, "")) for name, value in _HINTS)


def shows_placeholders(version: str) -> bool:
    """Whether a terminal with the protocol of kitty shows pictures in place of characters. kitty 0.28 began with it.

    @param version: what the terminal says it is (XTVERSION).
    """
    found = _KITTY.search(version)
    return found is None or (int(found[1]), int(found[2])) >= (0, 28)


def picture_maker(environment: Mapping[str, str]) -> Callable[[Image], Widget] | None:
    """Ask the terminal whether it shows pictures. Call before Textual starts, which then reads all answers.

    @return: makes the widget of a picture; None if the terminal shows none, or the extra `pictures` is not installed.
    """
    is_terminal = all(one is not None and one.isatty() for one in (sys.__stdin__, sys.__stdout__))
    if not is_terminal or not is_worth_asking(environment) or find_spec("textual_image") is None:
        return None
    # A terminal that does not tell the size of its cells is no reason for a traceback above the screen.
    logging.getLogger("textual_image").addHandler(logging.NullHandler())
    try:
        # The import asks the terminal.
        from textual_image import renderable
        from textual_image.renderable import tgp
        from textual_image.widget import TGPImage, sixel

        if renderable.Image is renderable.TGPImage:
            version = terminal_answer(tgp, "\x1b[>q", "\x1bP>|", "\x1b\\", _PATIENCE)
            return TGPImage if shows_placeholders(version or "") else None
        maker: Callable[[Image], Widget] = sixel_picture(sixel)
        return maker if renderable.Image is renderable.SixelImage else None
    except Exception:
        # It raises anything if the answer is odd, a key is pressed meanwhile, or the terminal has no size.
        return None


class ShownPicture(Vertical):
    """A picture with a line that names it. It is shown in its own size, or as wide as the window."""

    def __init__(self, caption: str, image: Image, make: Callable[[Image], Widget]) -> None:
        """@param caption: text that is safe for the terminal."""
        super().__init__(classes="picture")
        self._caption = caption
        self._picture: Any = make(image)
        self._picture.styles.width = max(1, round(image.width / _COLUMN))

    @override
    def compose(self) -> ComposeResult:
        yield Static(self._caption, markup=False)
        yield self._picture

    def free(self) -> None:
        """Remove the picture from the memory of the terminal."""
        self._picture.image = None
