"""Exported pages: valid, self-contained, without scripts, and safe whatever a stranger wrote."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib import resources
from xml.etree import ElementTree

import html5lib
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.conversation import Role
from emailsys.wiretap.export import octets_of_page, page_of, sequence_picture
from tests.unit.wiretap.export.samples import PAYLOADS, hostile, poster, submission

_XHTML = "{http://www.w3.org/1999/xhtml}"
# What a page may consist of. A script, a frame, a form, a picture or a link to a file is not among it.
_TAGS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "nav",
        "section",
        "figure",
        "figcaption",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ol",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "span",
        "strong",
        "code",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "g",
        "rect",
        "line",
        "text",
        "polygon",
        "path",
        "circle",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "class",
        "id",
        "href",
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "scope",
        "role",
        "tabindex",
        "aria-label",
        "aria-hidden",
        "data-name",
        "viewBox",
        "preserveAspectRatio",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "rx",
        "d",
        "points",
        "text-anchor",
        "font-size",
    ]
)


def elements(page: str) -> Iterator[tuple[str, ElementTree.Element]]:
    """The elements of a page with their names. Raises if the page breaks a rule of HTML."""
    tree = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), strict=True).parse(page)
    for element in tree.iter():
        if isinstance(element.tag, str):
            yield element.tag.rpartition("}")[2], element


class PageTests(SynchronousTestCase):
    """What a page is made of."""

    def assertSafe(self, page: str) -> str:
        """A page is valid, allows only its own style, and refers to nothing outside. Returns its text."""
        self.assertIn("<!DOCTYPE html>", page)
        ids: list[str] = []
        links: list[str] = []
        texts: list[str] = []
        style = policy = ""
        for tag, element in elements(page):
            self.assertIn(tag, _TAGS)
            self.assertEqual(set(element.attrib) - _ATTRIBUTES, set(), tag)
            ids += [element.attrib["id"]] if "id" in element.attrib else []
            links += [element.attrib["href"]] if "href" in element.attrib else []
            if element.attrib.get("http-equiv"):
                self.assertEqual(element.attrib["http-equiv"], "Content-Security-Policy")
                policy = element.attrib["content"]
            if tag == "style":
                style += element.text or ""
            else:
                texts += [element.text or "", element.tail or "", element.attrib.get("aria-label", "")]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual([link for link in links if link[:1] != "#" or link[1:] not in ids], [])
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.assertEqual(
            policy, f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        )
        self.assertNotIn("url(", style)
        self.assertNotIn("@import", style)
        return "\n".join(texts)

    def test_a_whole_page(self) -> None:
        """Each kind of block, from both sides of a connection."""
        text = self.assertSafe(page_of("How one message travels", poster(), lead="Every octet."))
        for words in ("EncryptedExtensions", "X25519MLKEM768", "+35.1 %", "RFC 5321 §4.1.1.2", "The key has 1024 bits"):
            self.assertIn(words, text)
        self.assertSafe(page_of("", []))

    def test_texts_of_strangers(self) -> None:
        """Everything is shown as text, in every place."""
        for payload in PAYLOADS:
            text = self.assertSafe(page_of(payload, hostile(payload), lead=payload))
            octets_of_page(text)
            if len(payload) < 200 and payload.isprintable():
                self.assertIn(payload, text)

    def test_what_hides_or_reorders_is_replaced(self) -> None:
        """Controls, directions, surrogates and characters that HTML forbids."""
        page = page_of("x", hostile("a\0\x1b\u202e\u2066\u200b\ud800\ufffe\U0010ffffz"))
        self.assertEqual(re.findall("[\0-\x08\x0b-\x1f\u200b\u202e\u2066\ud800\ufffe\U0010ffff]", page), [])
        self.assertIn("�z", page)

    def test_huge_texts_are_cut_with_a_word(self) -> None:
        """Megabytes do not reach the page."""
        page = page_of("x", hostile("a" * 3_000_000))
        self.assertLess(len(page), 200_000)
        self.assertIn("characters more", page)

    def test_the_picture_is_xml_of_its_own(self) -> None:
        """Both roles draw the client on the left; a stranger's text stays text."""
        drawn = {sequence_picture(submission(role)).partition("<style>")[2].count("from-client") for role in Role}
        self.assertEqual(len(drawn), 1)
        for payload in PAYLOADS:
            for block in hostile(payload):
                if hasattr(block, "conversation"):
                    tree = ElementTree.fromstring(sequence_picture(block.conversation))
                    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
                    self.assertEqual(tags - _TAGS, set())


def _luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class ColourTests(SynchronousTestCase):
    """WCAG 2.2 AA: 4.5 to 1 for text."""

    def test_contrast_in_both_schemes_and_on_paper(self) -> None:
        """Each colour of text on each ground that it stands on."""
        style = resources.files("emailsys.wiretap.export").joinpath("templates/page.css").read_text("utf-8")
        schemes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in style.split(":root {")[1:4]]
        self.assertEqual(len(schemes), 3)
        pairs = [
            *(
                (text, ground)
                for text in ("ink", "soft")
                for ground in ("paper", "card", "faint", "tls-tint", "sealed")
            ),
            *((text, ground) for text in ("client", "server", "tls") for ground in ("paper", "card")),
            *((text, f"{text}-tint") for text in ("good", "weak", "bad", "note")),
            ("card", "client"),
        ]
        for colours in schemes:
            for text, ground in pairs:
                light, dark = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
                self.assertGreaterEqual((light + 0.05) / (dark + 0.05), 4.5, f"{text} on {ground}")
