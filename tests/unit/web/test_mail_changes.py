"""Mail in a browser: deleting and composing."""

from __future__ import annotations

import html
import re
from email.message import EmailMessage

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.web.mail import deletions
from tests.fakes.net.web_house import ALICE, BOB, WebHouse
from tests.unit.web.mail import PNG, logged_in, message, put, subjects, with_parts


class DeleteTests(SynchronousTestCase):
    """Deleting, and taking it back."""

    def test_a_deleted_message_is_hidden_and_can_be_restored(self) -> None:
        """It is deleted when the time to undo has passed."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        for is_undone in (True, False):
            browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uid)
            page = browser.get("/mail/0/")
            self.assertEqual(subjects(page.text), [])
            deletion = re.search(r'name="deletion" value="([^"]+)"', page.text)
            assert deletion is not None
            if is_undone:
                browser.post("/mail/0/undo", page.proof, deletion=deletion[1])
                self.assertEqual(subjects(browser.get("/mail/0/").text), ["hello"])
                house.clock.advance(40)
                self.assertEqual(len(house.house.maildrop(ALICE)), 1)
        house.clock.advance(31)
        self.assertEqual(house.house.maildrop(ALICE), [])
        self.assertNotIn("Undo", browser.get("/mail/0/").text)

    def test_the_list_stays_where_it_was(self) -> None:
        """After deleting and undoing in a search or on a later page. No other site can be named."""
        house = WebHouse()
        uid = put(house, message("caf\u00e9"))
        browser = logged_in(house)
        place = "?q=caf%C3%A9&text=1"
        for back, expected in ((place, place), ("?q=&next=x", ""), ("//evil.example", ""), ("\u20ac", "")):
            page = browser.get(f"/mail/0/{place}")
            self.assertIn(f'name="back" value="{html.escape(place)}"', page.text)
            answer = browser.post("/mail/0/delete", page.proof, uid=uid, back=back)
            self.assertEqual(answer.header("Location"), f"/mail/0/{expected}")
            page = browser.get(f"/mail/0/{place}")
            deletion = re.search(r'name="deletion" value="([^"]+)"', page.text)
            assert deletion is not None
            undone = browser.post("/mail/0/undo", page.proof, deletion=deletion[1], back=back)
            self.assertEqual(undone.header("Location"), f"/mail/0/{expected}")

    def test_a_pop3_session_delays_it_and_the_page_says_so(self) -> None:
        """When the session has ended, the message is deleted within seconds."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        account = house.house.store.accounts._logins[tuple(ALICE.split("@"))].account
        session = self.successResultOf(ensureDeferred(house.house.store.maildrops.open(account.account_id)))
        browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uid)
        house.clock.advance(31)
        page = browser.get("/mail/0/").text
        self.assertIn("open by POP3", page)
        self.assertEqual(len(house.house.maildrop(ALICE)), 1)
        session.release()
        house.clock.advance(5)
        self.assertEqual(house.house.maildrop(ALICE), [])

    def test_nobody_deletes_or_restores_for_another_account(self) -> None:
        """Neither by a unique-id nor by the id of a deletion."""
        house = WebHouse()
        uid = put(house, message(), BOB)
        alice, bob = logged_in(house), logged_in(house, BOB)
        alice.post("/mail/0/delete", alice.get("/mail/0/").proof, uid=uid)
        house.clock.advance(31)
        self.assertEqual(len(house.house.maildrop(BOB)), 1)
        bob.post("/mail/0/delete", bob.get("/mail/0/").proof, uid=uid)
        page = bob.get("/mail/0/")
        deletion = re.findall(r'name="deletion" value="([^"]+)"', page.text)[0]
        alice.post("/mail/0/undo", alice.get("/mail/0/").proof, deletion=deletion)
        house.clock.advance(31)
        self.assertEqual(house.house.maildrop(BOB), [])

    def test_the_deletions_that_can_be_undone_are_bounded(self) -> None:
        """One more makes the oldest one final."""
        self.patch(deletions, "_MAX_PENDING", 2)
        house = WebHouse()
        uids = [put(house, message(f"number {number}")) for number in range(4)]
        browser = logged_in(house)
        for uid in uids[:3]:
            browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uid)
        self.assertEqual([one["Subject"] for one in house.house.maildrop(ALICE)], ["number 1", "number 2", "number 3"])
        self.assertEqual(subjects(browser.get("/mail/0/").text), ["number 3"])

    def test_deletions_that_wait_for_pop3_are_bounded_too(self) -> None:
        """Who keeps a session open could else fill the memory."""
        self.patch(deletions, "_MAX_PENDING", 2)
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        account = house.house.store.accounts._logins[tuple(ALICE.split("@"))].account
        self.successResultOf(ensureDeferred(house.house.store.maildrops.open(account.account_id)))
        codes = [browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uid).code for _ in range(6)]
        self.assertEqual(codes, [303] * 4 + [429] * 2)

    def test_the_end_of_the_daemon_completes_it(self) -> None:
        """A person who deleted a message does not find it again after a restart."""
        house = WebHouse()
        uid = put(house, message())
        browser = logged_in(house)
        browser.post("/mail/0/delete", browser.get("/mail/0/").proof, uid=uid)
        self.successResultOf(ensureDeferred(house.web.close()))
        self.assertEqual(house.house.maildrop(ALICE), [])


class ComposeTests(SynchronousTestCase):
    """Composing, and what is sent."""

    def test_a_form_that_is_sent_twice_sends_once(self) -> None:
        """A second click, or a repetition after the answer was lost. A changed form is told, with what was typed."""
        house = WebHouse()
        browser = logged_in(house)
        page = browser.get("/mail/0/compose")
        found = re.search(r'name="key" value="([^"]+)"', page.text)
        assert found is not None
        values = {"key": found[1], "to": BOB, "subject": "once", "text": "hello"}
        wrong = browser.post("/mail/0/compose", page.proof, None, **{**values, "to": "nobody@home.test"})
        self.assertIn(f'name="key" value="{found[1]}"', wrong.text)
        for _ in range(3):
            sent = browser.post("/mail/0/compose", page.proof, None, **values)
            self.assertEqual(sent.header("Location"), "/mail/0/?sent=1")
        house.net.settle()
        self.assertEqual(self.got(house)["Subject"], "once")
        changed = browser.post("/mail/0/compose", page.proof, None, **{**values, "text": "changed"})
        self.assertEqual(changed.code, 409)
        self.assertIn("changed</textarea>", changed.text)
        self.assertNotIn(found[1], browser.get("/mail/0/compose").text)

    def send(self, house: WebHouse, *files: tuple[str, str, str, bytes], **values: str) -> str:
        """Send a message as alice. Returns where the browser is led, or the error on the page."""
        browser = logged_in(house)
        query = "&".join(f"{name}={values[name]}" for name in ("kind", "uid") if name in values)
        proof = browser.get(f"/mail/0/compose?{query}").proof
        page = browser.post_files("/mail/0/compose", proof, files, **values)
        house.net.settle()
        error = re.search(r'id="compose-error">(.*?)</p>', page.text)
        return page.header("Location") or html.unescape(error[1] if error else page.text)

    def got(self, house: WebHouse, user: str = BOB) -> EmailMessage:
        """Return the only message of a maildrop."""
        (found,) = house.house.maildrop(user)
        return found

    def test_a_message_with_files_arrives_as_it_was_written(self) -> None:
        """Umlauts, files with odd names, and a Received field that says how it came."""
        house = WebHouse()
        files = (("files", "../dome.png", "text/html", PNG), ("files", "Übersicht.csv", "", b"a,b\r\n"))
        led = self.send(house, *files, to=BOB, subject="Grüße", text="Wie geht's?\r\n")
        self.assertEqual(led, "/mail/0/?sent=1")
        found = self.got(house)
        self.assertEqual((found["Subject"], found["From"]), ("Grüße", ALICE))
        body = found.get_body(("plain",))
        assert body is not None
        self.assertEqual(body.get_content().strip(), "Wie geht's?")
        self.assertEqual(
            [(one.get_filename(), one.get_content_type()) for one in found.iter_attachments()],
            [("dome.png", "image/png"), ("Übersicht.csv", "text/csv")],
        )
        self.assertIn("with HTTP", " ".join(found["Received"].split()))
        events = [fields for name, fields in house.telemetry.lines if name == "accepted"]
        self.assertEqual((str(events[0]["account"]), events[0]["ip"]), (ALICE, "192.0.2.7"))

    def test_markdown_becomes_html_beside_the_text(self) -> None:
        house = WebHouse()
        self.send(house, to=BOB, subject="x", text="**bold**", rich="1")
        rich = self.got(house).get_body(("html",))
        assert rich is not None
        self.assertIn("<strong>bold</strong>", rich.get_content())

    def test_an_answer_belongs_to_the_conversation(self) -> None:
        """Reply, reply to all, and forward with the files of the message."""
        house = WebHouse()
        octets = with_parts(
            ("Content-Type: text/plain", b"question?"),
            ("Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv", b"x,y"),
        )
        uid = put(house, octets.replace(b"carol@away.test", BOB.encode()))
        browser = logged_in(house)
        page = browser.get(f"/mail/0/compose?kind=reply&uid={uid}").text
        self.assertIn(html.escape(f"Carol <{BOB}>"), page)
        self.assertIn("&gt; question?", page)
        self.send(house, to=BOB, subject="Re: parts", text="answer", kind="reply", uid=uid)
        self.assertEqual(self.got(house)["In-Reply-To"], "<one@away.test>")
        house.house.store.drops[house.house.store.accounts._logins[tuple(BOB.split("@"))].account.account_id].clear()
        self.send(house, to=BOB, subject="Fwd: parts", text="see", kind="forward", uid=uid)
        self.assertEqual([one.get_filename() for one in self.got(house).iter_attachments()], ["a.csv"])

    def test_the_rules_of_the_submission_port_apply(self) -> None:
        """One recipient that is refused stops the message for all, and the page says which and why."""
        house = WebHouse()
        led = self.send(house, to=f"{BOB}, nobody@home.test", subject="x", text="typed text")
        self.assertIn("nobody@home.test: no such mailbox", led)
        self.assertEqual(house.house.maildrop(BOB), [])
        self.assertIn("no recipient", self.send(house, subject="x", text="x").lower())
        self.assertIn("To:", self.send(house, to="not an address", subject="x", text="x"))
        self.assertIn("too long", self.send(house, to=BOB, subject="x", text="x" * 3_000_000))
        self.assertEqual(house.house.maildrop(BOB), [])

    def test_what_was_typed_stays_on_the_page_if_it_cannot_be_sent(self) -> None:
        house = WebHouse()
        browser = logged_in(house)
        proof = browser.get("/mail/0/compose").proof
        page = browser.post_files(
            "/mail/0/compose", proof, (), to="x y z", cc=BOB, subject="s<", text="</textarea>kept"
        )
        self.assertEqual(page.code, 400)
        for text in ("x y z", BOB, "s&lt;", "&lt;/textarea&gt;k"):
            self.assertIn(text, page.text)

    def test_files_must_be_attached_again_after_a_refusal(self) -> None:
        """A page cannot fill them in, so it says so."""
        file = ("files", "a.csv", "text/csv", b"a,b")
        self.assertIn("Attach your files again.", self.send(WebHouse(), file, to="x y", subject="s", text="t"))
        self.assertNotIn("Attach your files again.", self.send(WebHouse(), to="x y", subject="s", text="t"))

    def test_no_field_gets_a_second_line(self) -> None:
        """Line ends in fields of the form do not become header fields."""
        house = WebHouse()
        self.send(house, to=BOB, subject="a\r\nBcc: carol@away.test\r\nX-Bad: 1", text="x")
        found = self.got(house)
        self.assertIsNone(found["X-Bad"])
        self.assertIsNone(found["Bcc"])
        self.assertIn("control", self.send(house, to=f"{BOB}\r\nX-Bad: 1", subject="x", text="x"))

    def test_a_removed_account_sends_nothing(self) -> None:
        """The login ends with the account."""
        house = WebHouse()
        browser = logged_in(house)
        proof = browser.get("/mail/0/compose").proof
        del house.house.store.accounts._logins[tuple(ALICE.split("@"))]
        page = browser.post_files("/mail/0/compose", proof, (), to=BOB, subject="x", text="x")
        self.assertIn("Your login has ended", page.text)
        self.assertEqual(house.house.maildrop(BOB), [])

    def test_a_login_that_ended_or_changed_does_not_lose_what_was_typed(self) -> None:
        """An hour of silence ends a login; another login in the same browser makes older forms void."""
        for ends in (True, False):
            house = WebHouse()
            browser = logged_in(house)
            proof = browser.get("/mail/0/compose").proof
            if ends:
                house.clock.advance(house.web.face.settings.web.idle_timeout + 1)
            else:
                browser.log_in(BOB)
            page = browser.post_files("/mail/0/compose", proof, (), to=BOB, subject="s<", text="</textarea>typed")
            self.assertEqual(page.code, 403)
            self.assertIn(f"To: {BOB}\nSubject: s&lt;\n\n&lt;/textarea&gt;typed", page.text)
            self.assertEqual(house.house.maildrop(BOB), [])

    def test_files_that_were_left_out_stay_out_after_an_error(self) -> None:
        """The page with the error is sent again as it stands."""
        file = ("Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv", b"x,y")
        for wrong in ("x y", "nobody@home.test"):
            house = WebHouse()
            uid = put(house, with_parts(("Content-Type: text/plain", b"text"), file))
            browser = logged_in(house)
            proof = browser.get("/mail/0/compose").proof
            values = {"subject": "s", "text": "t", "kind": "forward", "uid": uid}
            page = browser.post_files("/mail/0/compose", proof, (), to=wrong, with_files="0", **values)
            self.assertEqual(page.code, 400)
            self.assertNotIn('value="1" checked', page.text)
            left = dict.fromkeys(re.findall(r'type="hidden" name="(with_files)" value="0"', page.text), "0")
            browser.post_files("/mail/0/compose", proof, (), to=BOB, **values, **left)
            self.assertEqual(list(self.got(house).iter_attachments()), [])
