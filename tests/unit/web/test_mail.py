"""Mail in a browser: lists, messages, and files."""

from __future__ import annotations

import html
import re
import time
from datetime import UTC, datetime
from html.parser import HTMLParser
from threading import BoundedSemaphore
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreDamaged
from emailsys.interfaces.operators import EventKind, Happening
from emailsys.web.mail import lists, texts
from emailsys.web.mail.views import own_happenings
from tests.fakes.net.web_house import ALICE, BOB, WebHouse
from tests.unit.web.mail import HOSTILE, PNG, logged_in, message, put, subjects, with_parts

TABS = ("", "html", "structure", "headers", "journey", "raw")


class ListTests(SynchronousTestCase):
    """The inbox."""

    def test_the_newest_mail_comes_first_and_pages_lead_to_all_of_it(self) -> None:
        """Following "Older" shows each message once, and "Newer" leads back."""
        house = WebHouse()
        for number in range(120):
            put(house, message(f"number {number}"))
        browser = logged_in(house)
        path, seen, pages = "/mail/0/", [], []
        page = browser.get(path)
        while path:
            page = browser.get(path)
            pages.append(subjects(page.text))
            seen += pages[-1]
            older = re.search(r'href="(\?before=\w+)"', page.text)
            path = f"/mail/0/{older[1]}" if older else ""
        self.assertEqual(seen, [f"number {number}" for number in reversed(range(120))])
        self.assertEqual([len(one) for one in pages], [50, 50, 20])
        newer = re.search(r'href="(\?after=\w+)"', page.text)
        assert newer is not None
        back = browser.get(f"/mail/0/{newer[1]}")
        self.assertEqual(subjects(back.text), pages[1])
        newer = re.search(r'href="(\?after=\w+)"', back.text)
        assert newer is not None
        self.assertEqual(subjects(browser.get(f"/mail/0/{newer[1]}").text), pages[0])

    def test_mail_is_unread_until_it_is_opened_or_fetched(self) -> None:
        """What POP3 fetched is read, too."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        self.assertIn("Unread", browser.get("/mail/0/").text)
        browser.get(f"/mail/0/{uid}/raw")
        self.assertIn("Unread", browser.get("/mail/0/").text)
        browser.get(f"/mail/0/{uid}/")
        self.assertNotIn("Unread", browser.get("/mail/0/").text)

    def test_an_account_sees_only_its_own_mail(self) -> None:
        """Numbers of accounts and unique-ids of others lead nowhere; a browser without a login is led to it."""
        house = WebHouse()
        uid = put(house, message("for bob"), BOB)
        browser = logged_in(house)
        self.assertNotIn("for bob", browser.get("/mail/0/").text)
        for tab in (*TABS, "frame", "message.eml", "part/1", "show/1"):
            self.assertEqual(browser.get(f"/mail/0/{uid}/{tab}").code, 404, tab)
            self.assertEqual(browser.get(f"/mail/1/{uid}/{tab}").code, 303, tab)
        self.assertEqual(house.browser().get("/mail/0/").header("Location"), "/login?next=/mail/0/")
        both = logged_in(house, ALICE, BOB)
        self.assertIn("for bob", both.get("/mail/1/").text)
        self.assertNotIn("for bob", both.get("/mail/0/").text)

    def test_a_search_looks_at_header_fields_and_at_text_if_asked(self) -> None:
        """All words must be there. The query stands in the page as text."""
        house = WebHouse()
        put(house, message("Lunch on Friday", "at the usual place", From='"Ada Lovelace" <ada@away.test>'))
        put(house, message("Minutes", "we talked about lunch"))
        browser = logged_in(house)
        self.assertEqual(subjects(browser.get("/mail/0/?q=lunch").text), ["Lunch on Friday"])
        self.assertEqual(subjects(browser.get("/mail/0/?q=ada+friday").text), ["Lunch on Friday"])
        self.assertEqual(subjects(browser.get("/mail/0/?q=lunch&text=1").text), ["Minutes", "Lunch on Friday"])
        self.assertEqual(subjects(browser.get("/mail/0/?q=nothing").text), [])
        self.assertNotIn("<script>", browser.get("/mail/0/?q=%22%3E%3Cscript%3E").text)

    def test_a_long_search_goes_on_where_it_stopped(self) -> None:
        """The work for one page is bounded."""
        house = WebHouse()
        put(house, message("needle"))
        for _ in range(450):
            put(house, message("hay", "needle in the text"))
        self.patch(lists, "_HEADERS_SEARCHED", 400)
        browser = logged_in(house)
        page = browser.get("/mail/0/?q=needle")
        self.assertEqual(subjects(page.text), [])
        further = re.search(r'href="(\?q=[^"]*before=[^"]*)"', page.text)
        assert further is not None
        self.assertEqual(subjects(browser.get("/mail/0/" + html.unescape(further[1])).text), ["needle"])


class MessageTests(SynchronousTestCase):
    """One message."""

    def test_each_tab_shows_its_side(self) -> None:
        """Text with links, HTML in a frame, parts, header fields, hosts and the way."""
        house = WebHouse()
        received = "from a.test (x [192.0.2.9]) by b.test with ESMTPS id 1; Mon, 30 Nov 2026 10:00:30 +0000"
        octets = message(
            body="see https://example.org/x?a=1&b=2.",
            Received=f"from b.test by c.test with LMTP; Mon, 30 Nov 2026 10:05:30 +0000\r\nReceived: {received}",
        )
        uid = put(house, octets)
        browser = logged_in(house)
        pages = {tab: browser.get(f"/mail/0/{uid}/{tab}") for tab in TABS}
        self.assertEqual({tab: page.code for tab, page in pages.items()}, {**dict.fromkeys(TABS, 200), "html": 404})
        self.assertIn('<a href="https://example.org/x?a=1&amp;b=2" rel="noopener', pages[""].text)
        self.assertIn("text/plain", pages["structure"].text)
        self.assertIn("the name of this message in the world", pages["headers"].text)
        self.assertRegex(pages["headers"].text, r"(?s)b\.test.*from a\.test.*c\.test.*after 5 min")
        self.assertIn("See", pages["raw"].text.replace("see", "See"))
        self.assertEqual(browser.get(f"/mail/0/{uid}/message.eml").body, octets)

    def test_the_journey_is_that_of_this_recipient(self) -> None:
        """What happened for others is their business."""
        house = WebHouse()
        house.house.submit(BOB, ALICE, BOB)
        browser = logged_in(house)
        path = re.findall(r"/mail/0/U\d+/", browser.get("/mail/0/").text)[0]
        browser.get(path)
        text = browser.get(f"{path}journey").text
        self.assertIn("accepted by this system", text)
        self.assertIn(f"for {ALICE}", text)
        self.assertNotIn(f"for {BOB}", text)

    def test_the_journey_by_an_alias_names_no_other_member(self) -> None:
        """Nor does it tell what the others do with the message: all have the alias as their recipient."""
        at, team = datetime(2026, 1, 1, tzinfo=UTC), "team@home.test"
        happenings = [
            Happening(at, EventKind.ACCEPTED),
            Happening(at, EventKind.EXPANDED, team, detail=f"{ALICE}, {BOB}, an account"),
            *(Happening(at, EventKind.STORED, team, detail=one) for one in (ALICE, BOB, "")),
            Happening(at, EventKind.QUEUED, "carol@away.test"),
            Happening(at, EventKind.FETCHED, team),
        ]
        kinds = [EventKind.ACCEPTED, EventKind.EXPANDED, EventKind.STORED]
        shown = own_happenings(happenings, ALICE, team)
        self.assertEqual([(one.kind, one.detail) for one in shown], list(zip(kinds, ("", "", ALICE), strict=True)))
        alone = [Happening(at, EventKind.STORED, team, detail=ALICE), Happening(at, EventKind.FETCHED, team)]
        self.assertEqual(own_happenings(alone, ALICE, team), alone)

    def test_html_is_cleaned_and_shown_in_a_frame_that_runs_nothing(self) -> None:
        """Pictures of the network are blocked until the reader asks for them."""
        house = WebHouse()
        dirty = (
            '<h1 onclick="x()">Hi</h1><script>alert(1)</script><img src="https://track.test/p.png">'
            '<img src="cid:logo"><a href="javascript:x()">a</a><form action="//e"><input></form>'
            '<a href="https://ok.test/">ok</a><style>h1{color:red}</style><meta http-equiv=refresh content="0;//e">'
        )
        octets = with_parts(
            ("Content-Type: text/html", dirty.encode()), ("Content-Type: image/png\r\nContent-ID: <logo>", PNG)
        )
        uid = put(house, octets)
        browser = logged_in(house)
        page = browser.get(f"/mail/0/{uid}/html").text
        self.assertIn('sandbox="allow-popups allow-popups-to-escape-sandbox"', page)
        self.assertIn("Load pictures", page)
        frame = browser.get(f"/mail/0/{uid}/frame")
        for bad in ("<script", "onclick", "javascript:", "<form", "<input", "track.test", "refresh"):
            self.assertNotIn(bad, frame.text, bad)
        self.assertIn("data:image/png;base64", frame.text)
        self.assertIn("https://ok.test/", frame.text)
        policy = frame.header("Content-Security-Policy")
        self.assertIn("img-src data:;", policy)
        self.assertIn("sandbox allow-popups", policy)
        self.assertNotIn("allow-scripts", policy)
        self.assertNotIn("allow-same-origin", policy)
        self.assertEqual(frame.header("X-Frame-Options"), "SAMEORIGIN")
        asked = browser.get(f"/mail/0/{uid}/frame?pictures=1")
        self.assertIn("https://track.test/p.png", asked.text)
        self.assertIn("img-src data: https: http:;", asked.header("Content-Security-Policy"))

    def test_hostile_html_does_not_stop_the_daemon(self) -> None:
        """Half a megabyte of a tag that never ends took minutes, in which nothing else ran."""
        house = WebHouse()
        uid = put(house, with_parts(("Content-Type: text/html", b"<img " * 100_000)))
        browser = logged_in(house)
        began = time.process_time()
        self.assertNotIn("Load pictures", browser.get(f"/mail/0/{uid}/html").text)
        self.assertLess(time.process_time() - began, 5)

    def test_a_message_of_many_files_or_links_is_a_page_of_bounded_size(self) -> None:
        """The page is made while nothing else runs. What is left out is told."""
        house = WebHouse()
        file = ("Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png", PNG)
        files, links = put(house, with_parts(*[file] * 400)), put(house, message(body="https://a.test/ " * 5000))
        browser = logged_in(house)
        page = browser.get(f"/mail/0/{files}/").text
        self.assertEqual(page.count(">Save</a>"), 300)
        self.assertIn("100 more are not listed", page)
        page = browser.get(f"/mail/0/{links}/").text
        self.assertEqual((page.count('href="https://a.test/"'), page.count("https://a.test/")), (2000, 7000))

    def test_html_that_takes_long_does_not_occupy_all_threads(self) -> None:
        """The other pages go on, and the frame says that it must wait."""
        house = WebHouse()
        uid = put(house, with_parts(("Content-Type: text/html", b"<p>x</p>")))
        browser = logged_in(house)
        self.patch(texts, "CLEANING", BoundedSemaphore(1))
        with texts.CLEANING:
            self.assertEqual(browser.get(f"/mail/0/{uid}/frame").code, 503)
            self.assertEqual(browser.get(f"/mail/0/{uid}/html").code, 200)
        self.assertIn("<p>x</p>", browser.get(f"/mail/0/{uid}/frame").text)

    def test_html_of_many_nested_elements_is_a_defect(self) -> None:
        """Cleaning it would take a thread for minutes."""
        house = WebHouse()
        uid = put(house, with_parts(("Content-Type: text/html", b"<div>" * 20_000)))
        frame = logged_in(house).get(f"/mail/0/{uid}/frame")
        self.assertEqual(frame.code, 200)
        self.assertIn("defective or hostile", frame.text)

    def test_a_damaged_message_is_not_called_a_temporary_failure(self) -> None:
        """Neither in the browser nor by the API, and the log says which one it is."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        house.house.store.fail_reads = StoreDamaged("piece 1 of q1 differs")
        page = browser.get(f"/mail/0/{uid}/")
        self.assertEqual(page.code, 500)
        self.assertIn("This message is damaged", page.text)
        self.assertNotIn("Try again in a moment", page.text)
        self.assertIn("q1", str(house.telemetry.of("web-damaged")))

    def test_a_deleted_message_says_so(self) -> None:
        """POP3 may have deleted it meanwhile."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        house.house.store.drops.clear()
        page = browser.get(f"/mail/0/{uid}/")
        self.assertEqual(page.code, 404)
        self.assertIn("This message is gone", page.text)


class HostileTests(SynchronousTestCase):
    """Strangers' texts are shown, and never become markup."""

    def test_hostile_texts_are_escaped_wherever_they_stand(self) -> None:
        """In subject, names, header fields, file names and texts, on each page, and in the page that answers."""
        house = WebHouse()
        for text in HOSTILE:
            plain = text.replace('"', "'")
            head = message(text, From=f'"{plain}" <carol@away.test>', To=f'"{plain}" <{ALICE}>', X_Field=text)
            part = f'Content-Type: text/plain; charset="{plain}"', text.encode()
            file = f'Content-Type: {plain}\r\nContent-Disposition: attachment; filename="{plain}"', b"x"
            parts = with_parts(part, file)
            octets = head.partition(b"\r\n\r\n")[0] + b"\r\n" + parts[parts.index(b"Content-Type") :]
            uid = put(house, octets)
            browser = logged_in(house)
            paths = [f"/mail/0/{uid}/{tab}" for tab in TABS if tab != "html"]
            paths += ["/mail/0/", f"/mail/0/compose?kind=reply&uid={uid}", f"/mail/0/compose?kind=forward&uid={uid}"]
            for path in paths:
                page = browser.get(path)
                self.assertEqual(page.code, 200, (text, path))
                self._is_harmless(page.text, path)
            house.house.store.drops.clear()
        self.assertEqual(house.telemetry.exceptions, [])

    def _is_harmless(self, text: str, path: str) -> None:
        """Check that all tags and attributes of a page are those of our templates."""
        for tag, attributes in _Tags.of(text):
            self.assertIn(tag, _KNOWN_TAGS, path)
            self.assertEqual(set(attributes) - _KNOWN_ATTRIBUTES, set(), path)
            for name in ("href", "src", "action"):
                self.assertRegex(attributes.get(name) or "/", r"\A(?:/|\?|https?://|#)", path)
            if tag == "script":
                self.assertTrue(str(attributes["src"]).startswith("/static/"), path)


class _Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @classmethod
    def of(cls, text: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = cls()
        parser.feed(text)
        return parser.found


_KNOWN_TAGS: Final = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "body",
        "a",
        "header",
        "img",
        "span",
        "form",
        "label",
        "input",
        "button",
    ),
    *(
        "button",
        "details",
        "summary",
        "div",
        "ul",
        "li",
        "main",
        "article",
        "h1",
        "h2",
        "dl",
        "dt",
        "dd",
        "bdi",
        "nav",
        "p",
    ),
    *("section", "ol", "table", "thead", "tr", "th", "tbody", "td", "svg", "rect", "code", "strong", "time", "pre"),
    *("br", "textarea", "script", "figure", "figcaption", "path", "circle", "text"),
}
_KNOWN_ATTRIBUTES: Final = {
    *("lang", "charset", "name", "content", "rel", "href", "type", "class", "src", "alt", "width", "height", "id"),
    *("role", "action", "for", "placeholder", "value", "maxlength", "aria-label", "aria-current", "method", "hidden"),
    *("datetime", "data-short", "tabindex", "target", "title", "loading", "scope", "viewbox", "aria-hidden", "rx"),
    *("preserveaspectratio", "dir", "enctype", "autocomplete", "autocapitalize", "spellcheck", "autofocus", "rows"),
    *("checked", "multiple", "aria-describedby", "aria-labelledby", "font-size", "x", "y", "cx", "cy", "r", "d"),
    "data-most",
}
