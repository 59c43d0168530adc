"""Logins of browsers: sessions, several accounts, limits for guessing, and the one-time link."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import WebSettings
from emailsys.interfaces import TooManyGuesses
from emailsys.web.base import sessions
from emailsys.web.base.face import Answer, Call
from tests.fakes.net.web_house import ALICE, BOB, WebHouse


class LoginTests(SynchronousTestCase):
    """Logging in and out."""

    def test_a_login_shows_its_account(self) -> None:
        """The event has the session and the address of the browser."""
        house = WebHouse()
        browser = house.browser()
        page = browser.log_in()
        self.assertEqual((page.code, page.header("Location")), (303, "/mail/0/"))
        self.assertIn(ALICE, browser.get("/accounts").text)
        name, fields = house.telemetry.lines[-1]
        self.assertEqual((name, fields["ip"], fields["user"]), ("web-login", "192.0.2.7", ALICE))

    def test_a_wrong_password_says_so_and_keeps_the_name(self) -> None:
        """An unknown account gets the same answer."""
        house = WebHouse()
        for name in (ALICE, "nobody@home.test", "nonsense", '"><script>alert(1)</script>'):
            page = house.browser().log_in(name, "wrong")
            self.assertEqual(page.code, 403)
            self.assertIn("The address or the password is wrong.", page.text)
            self.assertNotIn("<script", page.text)
        self.assertEqual(house.telemetry.counters["web-login-refused"], 4)
        self.assertEqual(len(house.web.face.sessions), 0)

    def test_the_login_changes_the_cookie(self) -> None:
        """A cookie that somebody planted before the login is worth nothing after it (session fixation)."""
        house = WebHouse()
        browser, thief = house.browser(), house.browser()
        browser.get("/login")
        before = dict(browser.cookies)
        browser.log_in()
        self.assertNotEqual(browser.cookies, before)
        thief.cookies = before
        self.assertEqual(thief.get("/accounts").header("Location"), "/login")
        first = dict(browser.cookies)
        browser.log_in(BOB)
        self.assertNotEqual(browser.cookies, first)
        thief.cookies = first
        self.assertEqual(thief.get("/accounts").header("Location"), "/login")

    def test_the_icon_that_browsers_ask_for_by_themselves(self) -> None:
        """Beside a picture or a file there is no page that names another."""
        page = WebHouse().browser().get("/favicon.ico")
        self.assertEqual((page.code, page.header("Content-Type")), (200, "image/svg+xml"))

    def test_several_accounts_stand_side_by_side(self) -> None:
        """Logging out of one leaves the other."""
        browser = WebHouse().browser()
        browser.log_in()
        browser.log_in(BOB)
        page = browser.get("/accounts")
        self.assertIn(ALICE, page.text)
        self.assertIn(BOB, page.text)
        browser.post("/logout", page.proof, account="0")
        page = browser.get("/accounts")
        self.assertNotIn(ALICE, page.text)
        self.assertEqual(browser.post("/logout", page.proof, account="1").header("Location"), "/login")
        self.assertEqual(browser.get("/accounts").header("Location"), "/login")

    def test_the_limit_for_failed_logins_is_that_of_all_protocols(self) -> None:
        """At the limit even the right password is refused, with a page that says what to do."""
        house = WebHouse()
        browser = house.browser()
        for number in range(10):
            self.assertEqual(browser.log_in(password=f"wrong{number}").code, 403)
        page = browser.log_in()
        self.assertEqual(page.code, 429)
        self.assertIn("Try again in a few minutes", page.text)
        self.assertEqual(house.browser("203.0.113.9").log_in().code, 303)

    def test_the_login_leads_only_to_pages_of_this_server(self) -> None:
        """An address in the form is checked when the form is made and when it is sent."""
        for then in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\nx"):
            browser = WebHouse().browser()
            self.assertEqual(browser.log_in(next=then).header("Location"), "/mail/0/", then)
        self.assertEqual(WebHouse().browser().log_in(next="/accounts").header("Location"), "/accounts")
        self.assertNotIn("evil", WebHouse().browser().get("/login?next=//evil.example").text)

    def test_the_login_leads_to_no_other_account(self) -> None:
        """A page of the account that was number 1 would ask for its login again and again."""
        self.assertEqual(WebHouse().browser().log_in(next="/mail/1/compose").header("Location"), "/mail/0/")
        self.assertEqual(WebHouse().browser().log_in(next="/mail/0/compose").header("Location"), "/mail/0/compose")

    def test_empty_and_huge_credentials_are_not_checked(self) -> None:
        """Hashing takes time that belongs to others."""
        house = WebHouse()
        browser = house.browser()
        for name, password in (("", "x"), (ALICE, ""), (ALICE, "x" * 5000), ("x" * 5000, "x")):
            self.assertEqual(browser.log_in(name, password).code, 400)
        self.assertEqual(house.telemetry.lines, [])


class EndTests(SynchronousTestCase):
    """What ends a session."""

    def test_a_session_ends_after_silence_and_in_any_case(self) -> None:
        """Both times are settings."""
        house = WebHouse(WebSettings(listen=(("127.0.0.1", 1),), idle_timeout=100, session_timeout=250))
        browser = house.browser()
        browser.log_in()
        for _ in range(2):
            house.clock.advance(90)
            self.assertEqual(browser.get("/accounts").code, 200)
        house.clock.advance(90)
        self.assertEqual(browser.get("/accounts").code, 303)
        browser.log_in()
        house.clock.advance(101)
        self.assertEqual(browser.get("/accounts").code, 303)

    def test_a_changed_password_ends_the_logins_with_the_old_one(self) -> None:
        """So does disabling the account."""
        house = WebHouse()
        logins = house.house.store.accounts._logins
        key = tuple(ALICE.split("@"))
        for change in (
            lambda login: replace(login, password_number=login.password_number + 1),
            lambda login: replace(login, account=replace(login.account, enabled=False)),
        ):
            browser = house.browser()
            browser.log_in()
            self.assertIn(ALICE, browser.get("/accounts").text)
            browser.log_in(BOB)
            logins[key] = change(logins[key])
            page = browser.get("/accounts")
            self.assertNotIn(ALICE, page.text)
            self.assertIn(BOB, page.text)

    def test_the_number_of_sessions_is_bounded(self) -> None:
        """The one that was not used for the longest time ends."""
        self.patch(sessions, "_MAX_SESSIONS", 2)
        house = WebHouse()
        browsers = [house.browser() for _ in range(3)]
        for browser in browsers:
            browser.log_in()
        self.assertEqual([browser.get("/accounts").code for browser in browsers], [303, 200, 200])


class LinkTests(SynchronousTestCase):
    """The one-time link."""

    def test_a_link_logs_in_once(self) -> None:
        """The second use, a wrong token and an old link get a page that says so."""
        house = WebHouse()
        token = house.web.face.sessions.make_link(ALICE)
        browser = house.browser()
        # Programs that look for previews do not use it up.
        self.assertEqual(browser.ask("HEAD", token).code, 200)
        self.assertEqual(browser.get(token).code, 303)
        self.assertIn(ALICE, browser.get("/accounts").text)
        self.assertEqual(house.browser().get(token).code, 403)
        self.assertEqual(house.browser().get("/once/x").code, 403)
        late = house.web.face.sessions.make_link(ALICE)
        house.clock.advance(601)
        self.assertEqual(house.browser().get(late).code, 403)
        gone = house.web.face.sessions.make_link("nobody@home.test")
        self.assertEqual(house.browser().get(gone).code, 403)
        busy = house.web.face.sessions.make_link(ALICE)
        self.patch(house.failed_logins, "verify", lambda *arguments: fail(TooManyGuesses()))
        self.assertEqual(house.browser().get(busy).code, 429)
        self.assertEqual(house.telemetry.exceptions, [])


class FailureTests(SynchronousTestCase):
    """Failures of this system."""

    def test_an_exception_is_a_page_without_its_details(self) -> None:
        """The log has them."""
        house = WebHouse()

        async def broken(call: Call) -> Answer:
            raise ValueError("a secret")

        house.web.face.route("/broken", broken)
        page = house.browser().get("/broken")
        self.assertEqual(page.code, 500)
        self.assertIn("Something went wrong here", page.text)
        self.assertNotIn("secret", page.text)
        self.assertEqual([str(one) for one in house.telemetry.exceptions], ["a secret"])
