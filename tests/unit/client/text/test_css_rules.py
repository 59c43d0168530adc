"""Style sheets of messages hide only what a browser with a wide window would hide."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.css_rules import StyleRules, media_applies
from emailsys.client.text.html import convert, html_to_text


class Sheets(SynchronousTestCase):
    def hidden(self, css: str, html: str, text: str) -> None:
        """Compare the text of a document with a style sheet."""
        self.assertEqual(html_to_text(f"<style>{css}</style>{html}"), text, css)

    def test_rules_hide_what_they_select(self) -> None:
        for selector in (
            ".h", "b", "#i", "b.h", "*.h", "b.h#i", "[data-x]", '[data-x="1 2"]', "[data-x~=2]", "[data-x^='1']",
            "[class*=h]", "p .h", "p > b", "p>.h", "div p b", "div > p > b", "body b", "q, .h", ".\\68", "B",
            "p\n.h",
        ):  # fmt: skip
            self.hidden(selector + "{display:none}", "<div><p><b class='g h' id=i data-x='1 2'>x</b>y</p></div>", "y")

    def test_rules_hide_nothing_else(self) -> None:
        for selector in (
            ".H2", "i", "#j", "i.h", "[data-y]", "[data-x=1]", "div > b", "b p", "b:hover", "b::before", "b:not(.q)",
            "p + b", "p ~ b", "", "&", ".h:first-child", "[", ".", "b.", "q", "p & b", "..h", "p > > b",
        ):  # fmt: skip
            self.hidden(selector + "{display:none}", "<div><p><b class='g h' id=i data-x='1 2'>x</b>y</p></div>", "xy")

    def test_the_cascade_decides(self) -> None:
        for css, own, text in (
            ("b{display:none} b{display:inline}", "", "xy"),
            ("#i{display:inline} b{display:none}", "", "xy"),
            (".h{display:inline} b{display:none}", "", "xy"),
            (".h{display:none} b.h{display:inline}", "", "xy"),
            ("b{display:none!important} #i{display:inline}", "", "y"),
            ("b{display:none}", "display:inline", "xy"),
            ("b{display:none!important}", "display:inline", "y"),
            ("b{display:none!important}", "display:inline!important", "xy"),
            ("p{font-size:0} b{font-size:1px}", "", "x"),
        ):
            self.hidden(css, f'<p><b class=h id=i style="{own}">x</b>y', text)

    def test_media_are_those_of_a_wide_light_screen(self) -> None:
        for query, applies in (
            ("", True), ("all", True), ("screen", True), ("only screen and (min-width: 480px)", True), ("print", False),
            ("(max-width:600px)", False), ("(max-width: 90em)", True), ("print, screen", True), ("not print", True),
            ("not screen", False), ("(prefers-color-scheme: dark)", False), ("(min-width:99999px)", False),
            ("screen and (-webkit-min-device-pixel-ratio:0)", False), ("(width >= 1px)", False),
            ("(min-width:.)", False), ("(min-width:)", False), ("( min-width : 480px )", True),
            (f"screen and {' ' * 1_000}(min-width:1px)", False),
        ):  # fmt: skip
            self.assertEqual(media_applies(query), applies, query)

    def test_blocks_of_a_sheet_are_told_apart(self) -> None:
        for css, text in (
            ("@media screen and (max-width:600px){.h{display:none}} .g{display:none}", "xz"),
            ("@media(max-width:600px){.h{display:none}}", "xyz"),
            ("@media screen{@media print{.h{display:none}} .g{display:none}}", "xz"),
            ("@import url(x); @font-face{font-family:a;src:url(b)} .h{display:none}", "yz"),
            ("@supports (display:grid){.h{display:none}}", "xyz"),
            ("<!-- .h{display:none} -->", "yz"),
            ("/* .g{display:none} */ .h{display:none} /* .g", "yz"),
            ("} .h{display:none", "xyz"),
            (".g{color:red;} .h{display:none", "yz"),
        ):
            self.hidden(css, "<b class=h>x</b><b class=g>y</b>z", text)

    def test_a_sheet_anywhere_and_for_some_media_counts(self) -> None:
        self.assertEqual(html_to_text("<b>x</b>y<p><style>b{display:none}</style>"), "y")
        self.assertEqual(html_to_text("<style media=print>b{display:none}</style><b>x</b>y"), "xy")

    def test_a_hostile_sheet_is_truncated_and_reported(self) -> None:
        rules = "".join(f".a{number} .b {{display:none}}" for number in range(10_000))
        converted = convert(f"<style>{rules}</style>" + "<p class=b>x" * 10_000)
        self.assertEqual(converted.text.count("x"), 10_000)
        self.assertEqual(len([one for one in converted.defects if one.startswith("its style sheets")]), 2)
        self.assertEqual(StyleRules([("", "@media" * 100_000)]).defects, [])
