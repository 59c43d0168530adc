"""HTML of strangers is read as a browser reads it, and nothing of its text is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import view
from emailsys.client.text.html import convert, html_to_text

CASES: Final = Path(__file__).resolve().parents[3] / "data" / "cases"
HIDDEN: Final = "its markup hides"


class Layout(SynchronousTestCase):
    def expect(self, *rows: tuple[str, str]) -> None:
        """Compare the text of each document."""
        for html, text in rows:
            self.assertEqual(html_to_text(html), text, html)

    def test_blocks_end_lines_and_inline_elements_do_not(self) -> None:
        self.expect(
            ("<p>one<p>two", "one\n\ntwo"),
            ("a<br>b<br/>c", "a\nb\nc"),
            ("a<br><br><br><br><br>b<br> <br>&nbsp;<br>c", "a\n\nb\n\nc"),
            ("  a\n\n b&nbsp;c ", "a b c"),
            ("<h1>T</h1>x<hr>y", "# T\n\nx\n\n" + "-" * 40 + "\n\ny"),
            ("<h1><table><tr><td>T</table></h1>", "# T"),
            ("<b>bold<i>it</b>x</i><div>open<span>more", "bolditx\nopenmore"),
            ("<span style='display:block'>a</span>b<div style='display:inline'>c</div>d", "a\nbcd"),
            ("<i style='display:inline-block'>a</i><i style='display:inline-block'>b</i>", "a b"),
            ("1 < 2 &lt; 3 <3", "1 < 2 < 3 <3"),
            ("<q>quote</q> <noscript>no <b>script</b></noscript>", '"quote" no script'),
        )

    def test_text_that_mail_programs_show_is_not_hidden(self) -> None:
        clip = "height:0;overflow:hidden"
        for html in (
            f"<span style='{clip}'>x</span>", f"<div style='display:inline;{clip}'>x</div>",
            f"<table><tr><td style='{clip}'>x</table>", f"<table style='{clip}'><tr><td>x</table>",
            f"<div style='display:table;{clip}'>x</div>", f"<div style='min-height:9px;{clip}'>x</div>",
            "<p style='opacity:0foo'>x", "<p style='height:0foo;overflow:hidden'>x",
            "<style type=text/foo>p{display:none}</style><p>x", "<style>p,,b{display:none}</style><p>x",
        ):  # fmt: skip
            self.expect((html, "x"))
        for html in (
            f"<div style='{clip}'>x</div>y", f"<span style='display:block;{clip}'>x</span>y",
            f"<span style='display:inline-block;{clip}'>x</span>y", f"<div style='min-height:0;{clip}'>x</div>y",
            "<p style='opacity:0%'>x</p>y", "<style type='text/CSS'>p{display:none}</style><p>x</p>y",
            f"<div style='min-width:9px;{clip}'>x</div>y",
        ):  # fmt: skip
            self.expect((html, "y"))

    def test_text_of_pictures_and_frames_that_is_not_shown_is_reported(self) -> None:
        for html in ("<p style='visibility:hidden'><img alt=abc></p>y", "<iframe srcdoc='abc'></iframe>y"):
            shown = convert(html)
            self.assertEqual(shown.text, "y")
            self.assertIn('hides 3 characters, which are not shown: "abc"', " ".join(shown.defects))

    def test_lists_and_quotes_are_indented(self) -> None:
        self.expect(
            ("<ul><li>a<li>b</ul>c", "  * a\n  * b\n\nc"),
            ("<ol><li>a<ul><li>b</ul><li>c</ol>", "  1. a\n    * b\n  2. c"),
            ("<ol start=3><li>a<li><p>b</p><p>c</p></ol>", "  3. a\n\n  4. b\n\n    c"),
            ("<ul><li><table><tr><td>a</table><li></ul>", "  * a"),
            ("<ul style='list-style:none'><li>plain</ul>", "  plain"),
            ("<dl><dt>term<dd>def<dd>more</dl>", "term\n  def\n  more"),
            ("a<blockquote>b<blockquote>c</blockquote></blockquote>d", "a\n\n> b\n>\n> > c\n\nd"),
            ("<blockquote>a<ul><li>b</ul><p>c</blockquote>", "> a\n>\n>   * b\n>\n> c"),
        )

    def test_cells_of_a_row_stand_on_one_line(self) -> None:
        self.expect(
            ("<table><tr><td>a<td>b<tr><td>c</table>", "a | b\nc"),
            ("<table><tr><td rowspan=2>A<td>B<tr><td>C</table>", "A | B\nC"),
            ("<table><tr><td> <td>a<td></td><td>b</td><td> </td></table>", "a | b"),
            ("<table><tr><td>logo<td><table><tr><td>x<td>y</table></table>", "logo\n\nx | y"),
            ("<table>foster<tr><td>cell</table>", "foster\n\ncell"),
        )

    def test_white_space_is_kept_where_the_style_says_so(self) -> None:
        self.expect(
            ("<pre>a\n  b\n</pre>", "a\n  b"),
            ("<pre>\n\na\n\n\n b</pre>", "a\n\n\n b"),
            ("<div style='white-space:pre-wrap'>a\n  b\n\n\nc</div>", "a\n  b\n\n\nc"),
            ("<div style='white-space:break-spaces'>a\nb</div>", "a\nb"),
            ("<div style='white-space:pre-line'>a   b\nc</div>", "a b\nc"),
            ("<pre style='white-space:normal'>a\nb</pre>", "a b"),
            ("<div style='white-space:nowrap'>a\nb</div>", "a b"),
            ("<!doctype html><pre>a\n<table><tr><td>b\nc</table></pre>", "a\n\nb\nc"),
            ("<textarea>one\n two</textarea>", "one\n two"),
        )

    def test_targets_of_links_are_numbered(self) -> None:
        self.expect(
            ('<a href="http://x.test/">there</a> <a href=http://x.test/>x</a>', "there [1] x [1]\n\n[1] http://x.test/"),
            ('<a href="mailto:a@b.test">a@b.test</a>', "a@b.test"),
            ('<a href="http://x.test"><img src=y></a>', "[1]\n\n[1] http://x.test"),
            ("<a href=http://a.test/><div>Buy</div></a>now", "Buy [1]\nnow\n\n[1] http://a.test/"),
            ("<base href=https://x.test/a/b><a href=../c>c</a> <a href=?q>q</a>",
             "c [1] q [2]\n\n[1] https://x.test/c\n[2] https://x.test/a/b?q"),
            (f"<base href='http://x/{'a' * 200}/'><a href=c>d</a>", "d [1]\n\n[1] c"),
            ("<base href='http://['><a href=c>d</a>", "d [1]\n\n[1] c"),
            ("<a href='#top'>up</a> <a>none</a> <a href>empty</a>", "up none empty"),
            ("<a href='cid:part1@x'>see</a>", "see [1]\n\n[1] cid:part1@x"),
            ("<map><area href=http://m.test/ alt=Map></map>", "[Map] [1]\n\n[1] http://m.test/"),
        )  # fmt: skip

    def test_a_target_that_is_code_is_shown_as_what_it_is(self) -> None:
        self.expect(
            ("<a href='javascript:alert(1)'>y</a>", "y [1]\n\n[1] javascript:alert(1)"),
            ("<a href=' java&#10;script:x'>y</a>", "y [1]\n\n[1] javascript:x"),
            ("<a href='data:text/html,&lt;b>'>y</a>", "y [1]\n\n[1] data:text/html,<b>"),
        )
        long = html_to_text(f"<a href='data:{'x' * 100_000}'>y</a>")
        self.assertTrue(long.endswith("xxx... (100,005 characters)"), long[-60:])
        self.assertLess(len(long), 3_000)

    def test_pictures_are_their_alternative_texts(self) -> None:
        self.expect(
            ('<img alt="a cat"><img src=x><img src=y alt="">', "[a cat]"),
            ("<img src=x>", "[image]"),
            ("<img src=x><img src=cid:y>", "[2 images]"),
            ("<img src=x width=1 height=1><img src=y alt=''>", ""),
        )

    def test_forms_frames_and_foreign_elements_have_text(self) -> None:
        self.expect(
            ("<textarea>t</textarea><li>x", "t\n* x"),
            ("<select><option>a<option>b</select><button>Go</button><input value=v><input type=hidden value=h>",
             "a\nb\nGo [v]"),
            ("<svg><text>a</text><title>t</title></svg><math><mi>x</mi><mo>=</mo></math>", "ax="),
            ("<iframe src='http://f.test/'></iframe>", "[frame] [1]\n\n[1] http://f.test/"),
            ("<object data=x><p>in place of it</object>", "in place of it"),
        )  # fmt: skip


class Visibility(SynchronousTestCase):
    def expect(self, *rows: tuple[str, str, str]) -> None:
        """Compare the text of each document, and what is hidden in it."""
        for html, text, hidden in rows:
            converted = convert(html)
            self.assertEqual(converted.text, text, html)
            told = [one.partition('"')[2].rstrip('"') for one in converted.defects if one.startswith(HIDDEN)]
            self.assertEqual(told, [hidden] * bool(hidden), html)

    def test_the_font_size_is_inherited_and_set_again(self) -> None:
        """CSS Fonts 4 §2.5: a whole family of newsletter tools sets 0 outside and a size inside."""
        zero = "<div style='font-size:0'>x{}</div>z"
        self.expect(
            (zero.format("<b>y</b>"), "z", "x y"),
            (zero.format("<b style='font-size:13px'>y</b>"), "y\nz", "x"),
            (zero.format("<b style='font:12px/1 Arial'>y</b>"), "y\nz", "x"),
            (zero.format("<b style='font-size:small'>y</b>"), "y\nz", "x"),
            (zero.format("<b style='font-size:2em'>y</b>"), "z", "x y"),
            (zero.format("<b style='font-size:120%'>y</b>"), "z", "x y"),
            (zero.format("<font size=2>y</font>"), "y\nz", "x"),
            (zero.format("<table><tr><td>y</table>"), "y\n\nz", "x"),
            ("<!doctype html>" + zero.format("<table><tr><td>y</table>"), "z", "x y"),
            ("<i style='font:0/0 a'>x</i><i style='font-size:0.0px'>y</i>z", "z", "x y"),
            ("<i style='font-size:0.5px'>x</i><i style='font:400 1em a'>y</i>", "xy", ""),
        )

    def test_text_that_every_browser_hides_is_not_shown(self) -> None:
        for style in (
            "DISPLAY : none", "display:none!important;display:block", "d\\69splay:\\6eone", "opacity:0",
            "visibility:hidden", "visibility:collapse", "max-height:0;overflow:hidden", "height:0px;overflow-y:clip",
            "/**/display/**/:none", "content-visibility:hidden",
        ):  # fmt: skip
            self.expect((f"<div style='{style}'>x</div>z", "z", "x"))
        self.expect(
            ("<span hidden>x</span>z", "z", "x"),
            ("<div style='visibility:hidden'>x<b style='visibility:visible'>y</b></div>z", "y\nz", "x"),
            ("<div style='display:none'>x<b style='display:block;font-size:9px'>y</b></div>z", "z", "x y"),
        )

    def test_nothing_else_hides(self) -> None:
        for attributes in (
            "style='mso-hide:all'", "title='no hidden costs'", "class='col hidden-xs hidden sm'", "aria-hidden=true",
            "hidden style='display:block'", "style='color:#fff;background:#fff'", "style='font-size:0.1px'",
            "style='line-height:0'", "style='max-height:0'", "style='opacity:0.1'", "style='text-indent:-9999px'",
            "style='display:nonesuch'", "data-style='display:none'",
            "style='content:\"display:none\"'", "style='x:url(a;display:none)'", "style='font:400 12px a'",
        ):  # fmt: skip
            self.expect((f"<div {attributes}>x</div>z", "x\nz", ""))

    def test_scripts_comments_and_the_head_are_no_text(self) -> None:
        for hidden in (
            "<script>x < y</script>", "<style>p</style>", "<!-- x -->", "<!doctype x>", "<head><title>x</title></head>",
            "<?php x ?>", "<template>x</template>", "<!--[if mso]><p>Outlook</p><![endif]-->",
        ):  # fmt: skip
            self.expect((f"a{hidden}b", "ab", ""))
        self.expect(("<![if !mso]><p>others</p><![endif]>", "others", ""))

    def test_padding_of_introductions_is_not_text(self) -> None:
        self.expect(("<div style='display:none'>&nbsp;&zwnj;&#847;&#8199;&shy;&#xfeff;</div>a", "a", ""))
        self.expect(("<p>a</p><p>&#847;&zwnj;&nbsp;&#8199;&shy;</p><p>b&zwnj;&nbsp;</p>", "a\n\nb", ""))

    def test_a_document_that_hides_all_of_its_text_is_shown_all_the_same(self) -> None:
        for html, text in (
            ("<p style=display:none>only", "only"),
            ("<body style='visibility:hidden'>all", "all"),
            ("<div style=font-size:0>a<img src=x></div>", "a"),
            ("<title>just a title</title>", "just a title"),
            ("<!-- never ends <p>a", "never ends\n\na"),
        ):
            converted = convert(html)
            self.assertEqual(converted.text, text, html)
            self.assertIn("its markup hides all of its text, which is shown all the same", converted.defects)


class BrokenMarkup(SynchronousTestCase):
    def test_broken_markup_shows_what_there_is(self) -> None:
        for html, text in (
            ("a</p>b", "a\n\nb"),
            ("a</b></ul>b", "ab"),
            ('<p title=">">a', "a"),
            ("<div/>a<span/>b", "ab"),
            ("a\0b&copy x&ampy;&notit;&#x80;&#0;", "ab© x&y;¬it;€\ufffd"),
            ("&#99999999999999999999;", "\ufffd"),
            ("<p>a<plaintext>b</p><b>", "a\n\nb</p><b>"),
            ("a\ud800b", "a?b"),
            ("<a\ud800 b='\ud800'>b", "b"),
            ("", ""),
        ):
            converted = convert(html)
            self.assertEqual((converted.text, converted.defects), (text, ()), html)

    def test_an_end_inside_markup_is_reported(self) -> None:
        for html, text in (("a<b", "a"), ("a<!-- b", "a"), ("a<script>b", "a"), ("<b " * 3, ""), ("a<title>b", "a")):
            converted = convert(html)
            self.assertEqual(converted.text, text, html)
            self.assertIn("it ends inside a tag", converted.defects[0])

    def test_a_quotation_mark_that_is_never_closed_hides_nothing(self) -> None:
        converted = convert("a<a href='http://x.test>b</a>c>d")
        self.assertEqual(converted.text, "ab [1] c>d\n\n[1] http://x.test")
        self.assertEqual(converted.defects, ("a quotation mark in a tag is never closed, and is ignored",))

    def test_nesting_has_no_end(self) -> None:
        for name in ("div", "blockquote", "ul", "table", "b", "svg", "x"):
            self.assertIn("deep", html_to_text(f"<{name}>" * 100_000 + "deep"), name)
        self.assertLessEqual(len(html_to_text("<blockquote>" * 400 + "deep").split("\n")[-1]), 30)

    def test_documents_that_grow_in_the_parser_do_not(self) -> None:
        """Attributes of each <body> are copied, and open formatting elements are repeated in each paragraph."""
        bodies = convert("".join(f"<body a{number}=1>" for number in range(50_000)) + "x")
        self.assertEqual(bodies.text, "x")
        self.assertIn("called body or html", bodies.defects[0])
        fonts = "".join(f"<font color={number}>" for number in range(5_000))
        self.assertEqual(html_to_text(f"<p>{fonts}</p>" + "<p>x" * 20_000).count("x"), 20_000)


class FieldReports(SynchronousTestCase):
    def test_messages_after_field_reports_are_read(self) -> None:
        for name, text, defects in (
            ("html-font-size-0.eml", "Your code is 482913", 0),
            (
                "html-mso-hide.eml",
                "Please confirm your address.\n\nConfirm address [1]\n\n[1] https://example.com/confirm?t=1",
                0,
            ),
            (
                "html-attribute-value-hidden.eml",
                "Your order\n\nTotal: 100 EUR\n\nShipping: free\n\nPay now [1]\n\nBye\n\n[1] https://example.com/pay",
                0,
            ),
            ("html-pre-wrap.eml", "Dear Bob,\n\n1. first\n2. second\n\nYours", 0),
            ("html-meta-charset.eml", "您好\uff0c账单", 1),
        ):
            shown = view((CASES / name).read_bytes())
            self.assertEqual(shown.body, text, name)
            self.assertEqual(len(shown.defects), defects, (name, shown.defects))

    def test_hidden_text_is_a_defect_of_its_part(self) -> None:
        shown = view(b"From: a\r\nDate: b\r\nContent-Type: text/html\r\n\r\n<p hidden>Preview</p>Hi\r\n")
        self.assertEqual(shown.body, "Hi")
        self.assertIn('part 1: its markup hides 7 characters, which are not shown: "Preview"', shown.defects)
