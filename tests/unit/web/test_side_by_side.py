"""All accounts of a browser side by side."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.net.web_house import ALICE, BOB, WebHouse
from tests.unit.web.mail import HOSTILE, logged_in, message, put, subjects


class SideBySideTests(SynchronousTestCase):
    """One page for several accounts."""

    def test_each_account_has_its_newest_mail(self) -> None:
        """And a browser that has logged in to several accounts begins there."""
        house = WebHouse()
        for number in range(20):
            put(house, message(f"to alice {number}"))
        put(house, message("to bob"), BOB)
        browser = logged_in(house, ALICE, BOB)
        self.assertEqual(browser.get("/").header("Location"), "/mail/")
        page = browser.get("/mail/").text
        first, second = page.split("</section>")[:2]
        self.assertEqual(subjects(first), [f"to alice {number}" for number in range(19, 4, -1)])
        self.assertEqual(subjects(second), ["to bob"])
        self.assertIn('href="/mail/1/compose"', second)
        self.assertIn("All accounts side by side", browser.get("/mail/0/").text)

    def test_what_was_deleted_is_hidden_and_what_was_read_is_not_bold(self) -> None:
        """As in the list of the account."""
        house = WebHouse()
        uids = [put(house, message(subject)) for subject in ("one", "two", "three")]
        browser = logged_in(house)
        browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uids[1])
        browser.get(f"/mail/0/{uids[0]}/")
        page = browser.get("/mail/").text
        self.assertEqual(subjects(page), ["three", "one"])
        self.assertEqual(page.count("mail unread"), 1)

    def test_without_a_login_nothing_is_shown(self) -> None:
        """The login leads back."""
        self.assertEqual(WebHouse().browser().get("/mail/").header("Location"), "/login?next=/mail/")

    def test_hostile_subjects_are_escaped(self) -> None:
        """They are the same lines as those of the inbox."""
        house = WebHouse()
        for text in HOSTILE[:15]:
            put(house, message(text))
        page = logged_in(house).get("/mail/").text
        self.assertEqual(page.lower().count("<script"), 1)
        self.assertNotIn("<img src=x", page)
