"""Pictures in the terminal: whether it can show them, by the protocols of kitty or by sixels, and the widget."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static
from typing_extensions import override

from emailsys.upstream import filter_input, import_pictures, sixel_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from emailsys.client.screen.program import MailProgram

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
#: Asks for a test of the graphics of kitty, the version (XTVERSION), the size of a cell, and the attributes (DA1).
#: Terminals reply in this order. Each knows the last question, and ignores those that it does not know.
QUESTION: Final = "\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q\x1b[16t\x1b[c"
_REPLY: Final = re.compile(
    r"\x1b_G(?P<graphics>[^\x1b]{0,200})\x1b\\"
    r"|\x1bP>\|(?P<version>[^\x1b]{0,200})\x1b\\"
    r"|\x1b\[6;(?P<height>\d{1,5});(?P<width>\d{1,5})t"
    r"|\x1b\[\?(?P<attributes>[\d;]{0,100})c",
    re.ASCII,
)
_LAST: Final = "attributes"
# What one of them, cut off somewhere behind its first character, ends with.
_BEGUN: Final = re.compile(
    r"\x1b(?:_(?:G[^\x1b]{0,200}\x1b?)?|P(?:>(?:\|[^\x1b]{0,200}\x1b?)?)?|\[(?:6;[\d;]{0,11}|6|\?[\d;]{0,100})?)\Z",
    re.ASCII,
)
# Seconds for which the rest of a reply is waited for.
_PATIENCE: Final = 10.0
# Pixels of a column of most terminals. The height of the picture follows from its width.
_COLUMN: Final = 10


def is_worth_asking(environment: Mapping[str, str]) -> bool:
    """Whether the terminal names itself as one that may show pictures. All of these answer questions."""
    if any(environment.get(name) for name in _MULTIPLEXERS):
        return False
    return any(value.fullmatch(environment.get(name, "")) for name, value in _HINTS)


def shows_placeholders(version: str) -> bool:
    """Whether a terminal with the protocol of kitty shows pictures in place of characters. kitty 0.28 began with it.

    @param version: what the terminal says it is (XTVERSION).
    """
    found = _KITTY.search(version)
    return found is None or (int(found[1]), int(found[2])) >= (0, 28)


class ReplyFilter:
    """Takes the replies of the terminal to `QUESTION` out of what it sends. All the rest was typed.

    Over a slow line, replies come late, and the user types before. Without the filter, they would act as keys.
    """

    def __init__(self, answered: Callable[[Mapping[str, str]], None], clock: Callable[[], float] = monotonic) -> None:
        """@param answered: called once, with the replies by their names in `_REPLY`. Runs in the input thread."""
        self._answered = answered
        self._clock = clock
        self._until = clock() + _PATIENCE
        self._replies: dict[str, str] = {}
        # The beginning of a reply whose rest has not come.
        self._held = ""

    def __call__(self, text: str) -> str:
        """Return the part of a text that was typed."""
        if _LAST in self._replies:
            return text
        typed = _REPLY.sub(self._take, self._held + text)
        self._held = ""
        if _LAST in self._replies:
            self._answered(self._replies)
        elif (begun := _BEGUN.search(typed)) is not None and self._clock() < self._until:
            self._held = begun[0]
            typed = typed[: begun.start()]
        return typed

    def _take(self, found: re.Match[str]) -> str:
        self._replies.update({name: value for name, value in found.groupdict().items() if value is not None})
        return ""


def picture_maker(replies: Mapping[str, str]) -> Callable[[Image], Widget] | None:
    """Return what makes the widget of a picture; None if the terminal shows none, by its replies."""
    has_sixels = "4" in replies[_LAST].split(";")
    if not has_sixels and not (
        replies.get("graphics", "").endswith(";OK") and shows_placeholders(replies.get("version", ""))
    ):
        return None
    width, height = int(replies.get("width", "0")), int(replies.get("height", "0"))
    widgets = import_pictures((width, height) if width and height else None)
    maker: Callable[[Image], Widget] = sixel_picture(widgets.sixel) if has_sixels else widgets.TGPImage
    return maker


def ask_terminal(app: MailProgram, environment: Mapping[str, str]) -> None:
    """Let a program ask its terminal, once it runs, whether it shows pictures. Call before the program runs.

    Without the extra `pictures`, or in a terminal that is not known to show any, nothing is asked.
    """
    is_terminal = all(one is not None and one.isatty() for one in (sys.__stdin__, sys.__stdout__))
    if not is_terminal or not is_worth_asking(environment) or find_spec("textual_image") is None:
        return
    # A terminal that does not tell the size of its cells is no reason for a traceback.
    logging.getLogger("textual_image").addHandler(logging.NullHandler())

    def answered(replies: Mapping[str, str]) -> None:
        maker = None
        # textual-image raises anything if the terminal has no size, and a failure here would end the input.
        with suppress(Exception):
            maker = picture_maker(replies)
        app.call_later(app.terminal_replied, maker)

    filter_input(ReplyFilter(answered))
    app.terminal_question = QUESTION


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
