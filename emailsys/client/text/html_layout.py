"""Layout of HTML elements as lines of text: blocks, lists, tables, quotes, links and pictures.

Receives the elements that the parser reports, in order. `css_rules` says which of them are hidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from emailsys.client.text.css import PLAIN, Style
from emailsys.client.text.css_rules import StyleRules
from emailsys.client.text.html_lines import INVISIBLE, Lines
from emailsys.client.text.html_parser import END
from emailsys.client.text.pictures import is_tiny, picture_words

# Elements whose content is not text of the document. The default style sheet of HTML hides them (HTML §15.3.1).
_UNSHOWN: Final = frozenset({"script", "style", "template", "title"})
# Elements whose content is shown only by programs that do not know them.
_FALLBACK: Final = frozenset({"iframe", "noembed", "noframes", "datalist", "metadata", "desc"})
_PARAGRAPH: Final = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "menu", "dir"}
    | {"listing", "plaintext", "xmp"}
)
_BLOCK: Final = frozenset(
    {"address", "article", "aside", "body", "caption", "center", "dd", "details", "dialog", "div", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "form", "frameset", "header", "hgroup", "html", "legend", "li", "main", "nav"}
    | {"option", "optgroup", "search", "section", "select", "summary", "tbody", "tfoot", "thead", "tr", "marquee"}
)
_TABLE: Final = frozenset({"table", "caption", "tbody", "tfoot", "thead", "tr"})
_PREFORMATTED: Final = frozenset({"pre", "listing", "plaintext", "xmp", "textarea"})
_LISTS: Final = frozenset({"ul", "ol", "menu", "dir"})
_KINDS: Final = {
    **dict.fromkeys(_BLOCK, "block"),
    **dict.fromkeys(_PARAGRAPH, "paragraph"),
    **dict.fromkeys(("button", "input", "select", "td", "th"), "inline-block"),
}
# Elements with a font size of their own in the default style sheet (HTML §15.5).
_SIZED: Final = frozenset({"input", "select", "textarea", "button"})
# Elements that change what is inherited, without any style of the sender.
_INHERITING: Final = _PREFORMATTED | _SIZED | _LISTS | {"table", "font", "x-font"}
# White space and controls that browsers remove from a URL (URL §4.4).
_REMOVED: Final = re.compile("[\t\n\r]|^[\x00-\x20]+|[\x00-\x20]+$")
# Longest target that is shown in full. Only data: URLs are longer.
_MAX_TARGET: Final = 2_000
# Longest base URL that is put in front of the targets, which repeat it.
_MAX_BASE: Final = 200
_MAX_COMPARED: Final = 50
# Characters of preformatted text, each of which may be a line: a million lines take half a second.
_MAX_PREFORMATTED: Final = 2_000_000


_End = Callable[[], None]
_Ends = tuple[_End, ...]


@dataclass(slots=True)
class _State:
    """The properties that an element inherits."""

    is_visible: bool = True
    is_sized: bool = True
    white_space: str = ""
    bullets: bool = True


class Layout:
    """The receiver of the parser's events: each element, with its end, and the text between them."""

    def __init__(self, rules: StyleRules | None, pictures: Mapping[str, str] | None = None) -> None:
        """
        @param rules: None to show what is hidden as well.
        @param pictures: the numbers of the parts that pictures show, by Content-ID.
        """
        self._pictures = pictures or {}
        out = self._out = Lines()
        self._block_end: _Ends = (out.end_line,)
        self._paragraph_end: _Ends = (out.paragraph,)
        self._blank_end: _Ends = (out.blank,)
        self._begins: dict[str, Callable[[str, dict[str, str | None]], _End | None]] = {
            **dict.fromkeys(("td", "th"), self._cell),
            **dict.fromkeys(("img", "image", "area"), self._picture),
            **dict.fromkeys(_LISTS, self._list),
            **dict.fromkeys(("blockquote", "dd"), self._quote),
            **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), self._heading),
            **dict.fromkeys(("frame", "embed", "iframe"), self._frame),
            "a": self._link,
            "x-a": self._link,
            "base": self._base_of,
            "br": self._line_break,
            "hr": self._rule,
            "input": self._input,
            "li": self._item,
            "q": self._quotation,
        }
        self._rules = rules
        self._state = _State()
        #: For each open element that changes something: its depth, the state outside, and what its end does.
        self._open: list[tuple[int, _State, _Ends]] = []
        self._depth = 0
        # The depth of the element whose content is not shown, or 0, and whether its sender hid it.
        self._skipped_at = 0
        self._is_skip_told = False
        self._lists: list[int | None] = []
        self._links: dict[str, int] = {}
        self._base = ""
        self._is_quirky = True
        self._preformatted_left = _MAX_PREFORMATTED
        self._hidden_characters = 0
        self._hidden_sample = ""
        #: Pictures that have no text in their place.
        self.unnamed_pictures = 0
        #: Whether everything was read as elements and text.
        self.has_ended = False

    # -- events of the parser

    def doctype(self, name: str, public_id: str | None, system_id: str | None) -> None:
        public = (public_id or "").lower()
        self._is_quirky = name != "html" or (
            public.startswith("-//w3c//dtd html 4")
            and ("transitional" in public or "frameset" in public)
            and not system_id
        )

    def comment(self, data: str) -> None:
        pass

    def processing_instruction(self, target: str, data: str) -> None:
        pass

    def characters(self, data: str) -> None:
        if data[-1:] == END:
            data = data[:-1]
            self.has_ended = not self._skipped_at or self._is_skip_told
            if not data:
                return
        if self._skipped_at:
            if self._is_skip_told:
                self._count_hidden(data)
            return
        state = self._state
        if not (state.is_visible and state.is_sized):
            self._count_hidden(data)
        elif not state.white_space:
            self._out.text(data)
        else:
            self._out.preformatted(data[: max(0, self._preformatted_left)], collapse=state.white_space == "lines")
            self._preformatted_left -= len(data)

    def start_element(self, tag: str, attrs: tuple[tuple[str, str | None], ...]) -> None:
        self._depth += 1
        if self._skipped_at:
            if tag == "base" and not self._base:
                self._base = dict(attrs).get("href") or ""
            return
        if tag in _UNSHOWN and (self._rules is not None or tag != "title"):
            self._skipped_at, self._is_skip_told = self._depth, False
            return
        attributes = dict(attrs)
        style: Style | None = None
        if self._rules is not None:
            if tag in _FALLBACK:
                if tag == "iframe":
                    self._frame(tag, attributes)
                self._skipped_at, self._is_skip_told = self._depth, True
                return
            style = self._rules.style(tag, attributes, attributes.get("style") or "", "hidden" in attributes)
            if self._rules.has_ancestors:
                self._rules.enter(tag, attributes)
            if style.gone or (style.is_clipped and _has_room_of_its_own(tag, style.display)):
                self._skipped_at, self._is_skip_told = self._depth, True
                return
        outside = self._state
        if (style is not None and style is not PLAIN) or tag in _INHERITING:
            self._inherit(tag, attributes, style)
        ends = self._begin(tag, attributes, style.display if style is not None else "")
        if ends or self._state is not outside:
            self._open.append((self._depth, outside, ends))

    def end_element(self, tag: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if self._skipped_at:
            if depth != self._skipped_at:
                return
            self._skipped_at = 0
        if self._rules is not None and self._rules.has_ancestors:
            self._rules.leave(depth)
        if self._open and self._open[-1][0] == depth:
            _depth, outside, ends = self._open.pop()
            for end in ends:
                end()
            self._state = outside

    # -- styles

    def _inherit(self, tag: str, attributes: dict[str, str | None], style: Style | None) -> None:
        state = self._state
        white_space = "pre" if tag in _PREFORMATTED else state.white_space
        is_sized, is_visible, bullets = state.is_sized, state.is_visible, state.bullets
        if tag == "table" and self._is_quirky:
            # HTML §15.3.8: in quirks mode a table inherits neither.
            is_sized, white_space = True, ""
        elif tag in _SIZED or (tag in ("font", "x-font") and attributes.get("size")):
            is_sized = True
        elif tag in _LISTS:
            bullets = True
        if style is not None:
            is_sized = is_sized if style.is_sized is None else style.is_sized
            is_visible = is_visible if style.visible is None else style.visible
            bullets = bullets if style.bullets is None else style.bullets
        if style is not None and style.white_space is not None:
            white_space = style.white_space
        if (is_visible, is_sized, white_space, bullets) != (
            state.is_visible,
            state.is_sized,
            state.white_space,
            state.bullets,
        ):
            self._state = _State(is_visible, is_sized, white_space, bullets)

    @property
    def _is_shown(self) -> bool:
        return self._state.is_visible and self._state.is_sized

    def _count_hidden(self, text: str) -> None:
        text = text.strip(INVISIBLE)
        if text:
            self._hidden_characters += len(text)
            if len(self._hidden_sample) < 60:
                self._hidden_sample += " ".join(text[:200].split())[:60] + " "

    # -- layout

    def _begin(self, tag: str, attributes: dict[str, str | None], display: str) -> _Ends:
        """Lay out the start of an element. Returns what its end does, in order."""
        out = self._out
        ends: _Ends = ()
        kind = _KINDS.get(tag, "")
        if display:
            kind = ("paragraph" if kind == "paragraph" else "block") if display == "block" else display
        if kind == "paragraph" and tag in _LISTS and self._lists:
            kind = "block"
        if kind == "block":
            out.end_line()
            ends = self._block_end
        elif kind == "paragraph":
            out.paragraph()
            ends = self._paragraph_end
        elif kind and kind not in ("inline", "contents"):
            out.blank()
            ends = self._blank_end
        begin = self._begins.get(tag)
        if begin is not None and (end := begin(tag, attributes)) is not None:
            ends = (end, *ends)
        return ends

    def _line_break(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._out.end_line(keep_empty=True)

    def _cell(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._out.cell()

    def _rule(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._out.paragraph()
        self._out.text("-" * 40)
        self._out.paragraph()

    def _base_of(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._base = self._base or attributes.get("href") or ""

    def _quote(self, tag: str, attributes: dict[str, str | None]) -> _End:
        self._out.indent("> " if tag == "blockquote" else "  ")
        return self._outdent

    def _quotation(self, tag: str, attributes: dict[str, str | None]) -> _End:
        self.characters('"')
        return lambda: self.characters('"')

    def _heading(self, tag: str, attributes: dict[str, str | None]) -> _End:
        self._out.lead("#" * int(tag[1]) + " ")
        return lambda: self._out.lead("")

    def _outdent(self) -> None:
        self._out.end_line()
        self._out.outdent()

    def _list(self, tag: str, attributes: dict[str, str | None]) -> _End:
        start = attributes.get("start") or ""
        first = int(start) - 1 if re.fullmatch("[0-9]{1,9}", start, re.A) else 0
        self._out.indent("" if self._lists else "  ")
        self._lists.append(first if tag == "ol" else None)

        def end() -> None:
            self._lists.pop()
            self._outdent()

        return end

    def _item(self, tag: str, attributes: dict[str, str | None]) -> _End:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        if self._state.bullets:
            self._out.indent("  ", "* " if number is None else f"{number + 1}. ")
        else:
            self._out.indent("")
        return self._outdent

    def _picture(self, tag: str, attributes: dict[str, str | None]) -> None:
        alt = " ".join((attributes.get("alt") or "").split())
        if not self._is_shown:
            self._count_hidden(alt)
            return
        if words := picture_words(attributes, self._pictures):
            self._out.text(f"[{words}]")
        elif tag != "area" and "alt" not in attributes and attributes.get("src") and not is_tiny(attributes):
            self.unnamed_pictures += 1
        if tag == "area":
            self._link(tag, attributes)()

    def _input(self, tag: str, attributes: dict[str, str | None]) -> None:
        kind = (attributes.get("type") or "text").lower()
        value = (attributes.get("alt") if kind == "image" else attributes.get("value")) or ""
        if value.strip() and kind not in ("hidden", "checkbox", "radio", "password", "range", "color"):
            self.characters(f" [{' '.join(value.split())}] ")

    def _frame(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._count_hidden(attributes.get("srcdoc") or "")
        source = attributes.get("src") or ""
        if source and self._is_shown and not is_tiny(attributes):
            self._out.end_line()
            self._out.text("[frame]")
            self._link(tag, {"href": source})()
            self._out.end_line()

    def _link(self, tag: str, attributes: dict[str, str | None]) -> _End:
        """Begin a link. Returns what its end does: write the number of its target, if the text does not tell it."""
        out = self._out
        target = self._target(attributes.get("href") or "")
        since, begin = len(out.lines), len(out.pieces)

        def end() -> None:
            if not target or not self._is_shown:
                return
            is_one_line = len(out.lines) == since and len(out.pieces) - begin <= _MAX_COMPARED
            shown = "".join(out.pieces[begin:]).strip().removeprefix("| ") if is_one_line else ""
            # A link whose text is its own target needs no number.
            if shown.rstrip("/") == target.removeprefix("mailto:").rstrip("/"):
                return
            number = self._links.setdefault(target, len(self._links) + 1)
            out.note(f"[{number}]", since)

        return end

    def _target(self, href: str) -> str:
        href = _REMOVED.sub("", href).replace(" ", "%20")
        if not href or href.startswith("#"):
            return ""
        if self._base and len(self._base) <= _MAX_BASE and len(href) <= _MAX_TARGET:
            # If it is not a URL, it is shown as it is.
            with suppress(ValueError):
                href = urljoin(self._base.strip(), href)
        if len(href) > _MAX_TARGET:
            href = f"{href[:_MAX_TARGET]}... ({len(href):,} characters)"
        return href

    def result(self) -> tuple[str, list[str]]:
        """Return the text and its defects."""
        text = self._out.done()
        if self._links:
            text = (text + "\n\n" + "\n".join(f"[{number}] {link}" for link, number in self._links.items())).strip("\n")
        defects = list(self._rules.defects) if self._rules is not None else []
        if self._rules is not None and self._rules.is_exhausted:
            defects.append("its style sheets are too complex: some rules are not applied")
        if self._preformatted_left < 0:
            defects.append("its preformatted text is too long: the rest of that is not shown")
        if self._hidden_characters:
            sample = self._hidden_sample.strip()[:60]
            noun = "character" if self._hidden_characters == 1 else "characters"
            defects.append(f'its markup hides {self._hidden_characters:,} {noun}, which are not shown: "{sample}"')
        return text, defects

    @property
    def has_text(self) -> bool:
        """Whether anything is written."""
        return any(line.strip(INVISIBLE) for line in self._out.lines)


def _has_room_of_its_own(tag: str, display: str) -> bool:
    """Whether width and height decide the room of an element: not for inline elements and tables (CSS 2.2 §10.2)."""
    if not display:
        return (tag in _BLOCK or tag in _PARAGRAPH) and tag not in _TABLE
    return display in ("block", "inline-block")
