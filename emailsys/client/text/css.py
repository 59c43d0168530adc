"""Computed style, as far as it decides which text of an HTML message is visible and where its lines end.

Sender and mail programs agree on few properties. The ones here are all that hide text or change its white space;
colours, positions and the private properties of mail programs hide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

# A declaration that counts, with its precedence: (importance, origin, specificity, order).
Precedence = tuple[int, int, tuple[int, int, int], int]
Declaration = tuple[str, str, bool]

#: The properties that are read. All others are ignored.
PROPERTIES: Final = frozenset(
    {
        *("display", "visibility", "font-size", "font", "white-space", "white-space-collapse", "opacity", "overflow"),
        *("overflow-x", "overflow-y", "max-height", "height", "max-width", "width", "list-style", "list-style-type"),
        *("content-visibility", "min-height", "min-width"),
    }
)
_ESCAPE: Final = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)")
_NUMBER: Final = re.compile(r"([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?)([a-z%]*+)")
# Characters of one word of a font shorthand that can be a size.
_MAX_SIZE: Final = 40
# CSS Fonts 4 §2.5: keywords for sizes that do not depend on the enclosing element.
_SIZES: Final = frozenset(
    {"xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large", "initial", "math"}
)
_RELATIVE: Final = frozenset({"em", "%", "ex", "ch", "cap", "ic", "lh"})
# CSS Values 4 §6: units of lengths.
_UNITS: Final = _RELATIVE | {"", "px", "pt", "pc", "in", "cm", "mm", "q", "rem", "vw", "vh", "vmin", "vmax"}
_OPACITY_UNITS: Final = frozenset({"", "%"})
_INLINE: Final = frozenset({"inline", "inline-block", "inline-flex", "inline-grid", "inline-table", "contents", "ruby"})
_BLOCK: Final = frozenset({"block", "flex", "grid", "table", "list-item", "flow-root", "table-row", "table-caption"})
_WHITE_SPACE: Final = {
    "normal": "",
    "nowrap": "",
    "collapse": "",
    "initial": "",
    "pre": "pre",
    "pre-wrap": "pre",
    "break-spaces": "pre",
    "preserve": "pre",
    "preserve-spaces": "pre",
    "pre-line": "lines",
    "preserve-breaks": "lines",
}


class Style(NamedTuple):
    """The style that an element's own declarations set. None leaves the inherited value.

    @ivar gone: whether the element and everything in it is removed: no inner element can become visible again.
    @ivar display: "block", "inline", "inline-block", or "" for the default of the element.
    @ivar visible: the value of visibility.
    @ivar is_sized: False if the font size is zero, True if it is a size of its own, None if it is inherited.
    @ivar white_space: "pre" keeps all white space, "lines" keeps line ends, "" collapses both.
    @ivar bullets: whether list items have a bullet or number.
    @ivar is_clipped: whether everything in the element is gone if the element is a block.
    """

    gone: bool = False
    display: str = ""
    visible: bool | None = None
    is_sized: bool | None = None
    white_space: str | None = None
    bullets: bool | None = None
    is_clipped: bool = False


PLAIN: Final = Style()


def unescaped(text: str) -> str:
    """Return an identifier or a value without CSS escapes (CSS Syntax 3 §4.3.7)."""
    if "\\" not in text:
        return text

    def character(found: re.Match[str]) -> str:
        if found[2]:
            return found[2]
        code = int(found[1], 16)
        return chr(code) if 0 < code < 0xD800 or 0xE000 <= code < 0x110000 else "\ufffd"

    return _ESCAPE.sub(character, text)


def declarations(text: str) -> list[Declaration]:
    """Parse a style attribute or the body of a rule. Returns the properties that are read, with importance."""
    from turbohtml.cssom import StyleDeclaration

    parsed = StyleDeclaration.parse(text)
    return [
        (name, unescaped(parsed[name]).strip().lower(), parsed.important(name))
        for name in parsed.properties()
        if name in PROPERTIES
    ]


def _size(value: str) -> bool | None:
    """Whether a font size is other than zero; None if it depends on the enclosing element or is not a size."""
    if value in _SIZES:
        return True
    number = _NUMBER.match(value)
    if number is None:
        return None if value in ("inherit", "unset", "smaller", "larger", "revert") else True
    if not float(number[1]):
        return False
    return None if number[2] in _RELATIVE else True


def _font_size(value: str) -> tuple[bool, bool | None]:
    """Find the size in the shorthand `font`. Returns whether there is one, and `_size` of it."""
    for word in value.split():
        if len(word) > _MAX_SIZE:
            continue
        size = word.partition("/")[0]
        number = _NUMBER.fullmatch(size)
        # A number without unit is a weight, unless it is zero or a line height follows it.
        if size in _SIZES or (number and (number[2] or "/" in word or not float(number[1]))):
            return True, _size(size)
    return False, None


def _is_zero(value: str, units: frozenset[str]) -> bool:
    number = _NUMBER.fullmatch(value)
    return number is not None and not float(number[1]) and number[2] in units


def _is_clipped(values: dict[str, str], display: str) -> bool:
    """Whether a box has no room for its content and hides what overflows. Tables grow with their content."""
    if not values.get("overflow", "").startswith(("hidden", "clip")) or display.startswith("table"):
        return False
    return any(
        any(_is_zero(values.get(name, ""), _UNITS) for name in (f"max-{side}", side))
        and (f"min-{side}" not in values or _is_zero(values[f"min-{side}"], _UNITS))
        for side in ("height", "width")
    )


def _cascaded(declared: Iterable[tuple[Precedence, Declaration]]) -> dict[str, str]:
    """Return the winning value of each property, with `font` as a font size in its place."""
    values: dict[str, str] = {}
    for _precedence, (name, value, _important) in sorted(declared, key=lambda one: one[0]):
        if name == "font":
            found, size = _font_size(value)
            if found:
                values["font-size"] = "0" if size is False else "1px" if size else "1em"
        elif name == "white-space-collapse":
            values["white-space"] = value
        elif name.startswith("overflow"):
            values["overflow"] = value
        elif name.startswith("list-style"):
            values["list-style"] = value
        else:
            values[name] = value
    return values


def style_of(declared: Iterable[tuple[Precedence, Declaration]], hidden: bool = False) -> Style:
    """Combine an element's declarations.

    @param hidden: whether the element has the attribute `hidden`, which any declaration of `display` overrides
        (HTML §15.3.1).
    """
    values = _cascaded(declared)
    display = values.get("display", "none" if hidden else "").split(" ")[0]
    opacity = values.get("opacity", "")
    white_space = values.get("white-space", "").split(" ")[0]
    bullets = values.get("list-style")
    visibility = values.get("visibility", "")
    return Style(
        gone=display == "none" or _is_zero(opacity, _OPACITY_UNITS) or values.get("content-visibility") == "hidden",
        display="block" if display in _BLOCK else "" if display not in _INLINE else display.partition("-f")[0],
        visible={"hidden": False, "collapse": False, "visible": True, "initial": True}.get(visibility),
        is_sized=_size(values["font-size"]) if "font-size" in values else None,
        white_space=_WHITE_SPACE.get(white_space),
        bullets=None if bullets is None or bullets in ("inherit", "unset") else "none" not in bullets.split(),
        is_clipped=_is_clipped(values, display),
    )
