"""Whatever the markup is, text that is not hidden comes out, in order, and nothing raises."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.html import convert
from emailsys.client.text.html_lines import INVISIBLE

WORD: Final = re.compile(r"w\d+w")
#: Elements that may be in each other: what opens and what closes them.
NAMES: Final = st.sampled_from(
    (
        *((name, name) for name in ("div", "span", "b", "section", "blockquote", "pre")),
        ("ul><li", "li></ul"),
        ("table><tr><td", "td></tr></table"),
    )
)
#: A style, and what it does: removes, or sets the size or the visibility.
STYLES: Final = st.sampled_from(
    (
        ("", ""),
        ("", ""),
        ("color:white", ""),
        ("mso-hide:all", ""),
        ("display:none", "gone"),
        ("display:block", ""),
        ("opacity:0", "gone"),
        ("font-size:0", "small"),
        ("font-size:12px", "sized"),
        ("font-size:2em", ""),
        ("visibility:hidden", "invisible"),
        ("visibility:visible", "visible"),
        ("white-space:pre-wrap", ""),
        ("white-space:normal", ""),
    )
)
MARKUP: Final = st.sampled_from(
    (
        *("<p>", "</p>", "<li>", "<ol>", "</ol>", "<a href='http://x'>", "</a>", "<pre>", "</pre>", "<td>", "<tr>"),
        *(
            "<table>",
            "</table>",
            "<blockquote>",
            "</blockquote>",
            "<!--",
            "-->",
            "<style>",
            "</style>",
            "p{display:none}",
        ),
        *(
            "<div hidden>",
            "</div>",
            "&amp",
            "\n",
            "<br>",
            "<img alt='i'>",
            "<x '",
            "<b>",
            "<i>",
            "</b>",
            "</i>",
            "<svg>",
        ),
        *(
            "<math>",
            "<title>",
            "<textarea>",
            "<select>",
            "<option>",
            "<template>",
            "<plaintext>",
            "<body a=b>",
            "\0",
            "<",
        ),
        *(
            "@media (",
            "{",
            "}",
            "<p style='",
            "display:none",
            "<base href=//[>",
            "<frameset>",
            "<![CDATA[",
            "&#0;",
            "\ue5f3",
        ),
    )
)


@dataclass(frozen=True)
class Node:
    """A word, or an element with a style."""

    name: tuple[str, str]
    style: tuple[str, str]
    inside: list[Node]


def nodes() -> st.SearchStrategy[Node]:
    """Trees of elements, with words as leaves."""
    leaf = st.builds(Node, st.just(("", "")), st.just(("", "")), st.just([]))
    return st.recursive(leaf, lambda inner: st.builds(Node, NAMES, STYLES, st.lists(inner, max_size=4)), max_leaves=25)


class Rendering:
    """The markup of a tree, and the words in it that are visible."""

    def __init__(self) -> None:
        self.words = 0
        self.visible: list[str] = []

    def markup(self, node: Node, sized: bool = True, visible: bool = True, gone: bool = False) -> str:
        """Return the markup of a node, with what it inherits."""
        if not node.name[0]:
            self.words += 1
            word = f"w{self.words}w"
            if sized and visible and not gone:
                self.visible.append(word)
            return f" {word} "
        style, effect = node.style
        sized = {"small": False, "sized": True}.get(effect, sized)
        visible = {"invisible": False, "visible": True}.get(effect, visible)
        inside = "".join(self.markup(one, sized, visible, gone or effect == "gone") for one in node.inside)
        return f'<{node.name[0]} style="{style}">{inside}</{node.name[1]}>'


class AnyHTML(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(st.lists(nodes(), max_size=5))
    def test_words_that_are_not_hidden_are_shown_in_order(self, trees: list[Node]) -> None:
        rendering = Rendering()
        html = "<!doctype html>" + "".join(rendering.markup(one) for one in trees)
        converted = convert(html)
        every = [f"w{number}w" for number in range(1, rendering.words + 1)]
        self.assertEqual(WORD.findall(converted.text), rendering.visible or every, html)
        self.assertEqual(bool(converted.defects), rendering.visible != every, html)

    @settings(deadline=None, max_examples=500)
    @given(st.lists(MARKUP | st.text(max_size=8), max_size=30).map("".join))
    def test_any_markup_is_read(self, html: str) -> None:
        converted = convert(html)
        self.assertNotIn("\ud800", converted.text)
        converted.text.encode()
        if not converted.text.strip(INVISIBLE + "\n") and not converted.defects:
            # Without a word, there was nothing but markup.
            self.assertEqual(convert(f"{html}<p>end").text.strip(INVISIBLE + "\n")[-3:], "end", html)
