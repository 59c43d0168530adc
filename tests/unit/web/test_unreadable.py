"""A message that leads to an unexpected exception, in a browser and by the API."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.part import Part
from emailsys.web.api import message_values
from emailsys.web.mail import lists, messages, summaries
from tests.fakes.net.web_house import WebHouse
from tests.unit.web.mail import logged_in, message, put, subjects


class UnreadableTests(SynchronousTestCase):
    def test_a_message_that_raises_an_exception_keeps_no_others_from_being_listed(self) -> None:
        """In the browser and by the API. It is logged once for each, and can still be saved."""
        house = WebHouse()
        put(house, message("before"))
        uid = put(house, message("BOOM"))
        put(house, message("after"))

        def planted(real: Callable[[bytes], Part]) -> Callable[[bytes], Part]:
            return lambda octets: real(octets) if b"BOOM" not in octets else 1 // 0  # type: ignore[return-value]

        for module, name in (
            (summaries, "parse_header"),
            (messages, "parse"),
            (lists, "parse"),
            (message_values, "parse_header"),
        ):
            self.patch(module, name, planted(getattr(module, name)))
        browser = logged_in(house)
        for _ in range(2):
            self.assertEqual(subjects(browser.get("/mail/0/").text), ["after", summaries.UNREADABLE, "before"])
            found = browser.get("/mail/0/?q=after&text=1")
            self.assertEqual((found.code, subjects(found.text)), (200, ["after"]))
        self.assertEqual(len(house.telemetry.exceptions), 1)
        page = browser.get(f"/mail/0/{uid}/")
        self.assertEqual(page.code, 200)
        self.assertIn("unexpected exception", page.text)
        self.assertIn("BOOM", browser.get(f"/mail/0/{uid}/message.eml").text)
        self.assertEqual(len(house.telemetry.exceptions), 2)

    def test_half_a_surrogate_pair_in_a_text_hides_no_page(self) -> None:
        """UTF-7 can encode it. No page with it could be encoded, and none came."""
        house = WebHouse()
        browser = logged_in(house)
        for kind, tabs in (("plain", ("structure", "headers", "")), ("html", ("", "html", "frame"))):
            uid = put(house, message("=?utf-7?q?+2AA-?=", "a +2AA- b", Content_Type=f"text/{kind}; charset=utf-7"))
            pages = [browser.get(f"/mail/0/{uid}/{tab}") for tab in tabs]
            self.assertEqual([page.code for page in pages], [200, 200, 200], kind)
            self.assertIn("a \ufffd b", pages[-1].text)
        self.assertEqual(house.telemetry.exceptions, [])
