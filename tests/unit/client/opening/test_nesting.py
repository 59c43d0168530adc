"""HTML that is nested so deeply that cleaning it would occupy a thread is recognised."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.opening.nesting import is_too_complex

MANY = 10_001


class NestingTests(SynchronousTestCase):
    def test_usual_html_is_shown_however_it_is_written(self) -> None:
        row = '<tr><td align="left">a<td title=">">b<br>c<img src=x></tr>\n'
        for text in (
            "",
            "<div>" * 9_000,
            "<p>one" * 150 + "<b>x</b>" * MANY,
            "<!DOCTYPE html><html><head><style>a > b {}</style></head><body><table>"
            + row * MANY
            + "</table></body></html>",
            "<div><!-- <div> --><![if !mso]><span style='x'>1 < 2</span><![endif]></div>" * MANY,
            "<ul>" + "<li><a href='http://a.test/?a=1&b=2'>x</a></li>" * MANY + "</ul>",
        ):
            self.assertFalse(is_too_complex(text), text[:80])

    def test_deep_or_odd_large_html_is_not(self) -> None:
        """Among them tricks by which a simple count of end tags is too low."""
        for text in (
            "<div>" * MANY,
            "<DIV>" * 300 + "<b>x</b>" * MANY,
            "<div><table><td></div></table>" * MANY,
            "<div><!--></div><!-- -->" * MANY,
            "<div><!--></div>-->" * MANY,
            "<div><!-- --!><div> --></div>" * MANY,
            '<div><i title="</div>">' * MANY,
            '<div a"><div>">' * MANY,
            "<div/>" * MANY,
            "<style></STYLE><div></style>" * MANY,
            "<style>" + "<b>" * MANY,
            "<textarea></div></textarea><div>" * MANY,
            "<script><!--<script></script>" * MANY,
            "<a " * MANY,
            '<a "' * MANY,
            "<b x='" * MANY,
            "<b>x</b>" * MANY + "<!x",
        ):
            self.assertTrue(is_too_complex(text), text[:80])
