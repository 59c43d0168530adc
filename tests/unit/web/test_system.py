"""The operators' pages, without a socket: login, scopes, queue, drawings, and texts of strangers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreError
from emailsys.interfaces.operators import Scope, TokenRequest
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.tokens import make_token, read_token
from emailsys.web.system.drawings import route_graph, span, time_line
from tests.fakes.net.web_house import ALICE, BOB, Page, WebHouse

SYSTEM = frozenset({Scope.SYSTEM_READ, Scope.SYSTEM_WRITE, Scope.WIRE_READ})
PAGES = (
    "",
    "/queue",
    "/directory",
    "/routes",
    "/forecast",
    "/verify",
    "/trace",
    "/wire",
    "/events",
    "/verify/step",
    "/log",
)
EVIL = '<script>alert(1)</script>"onload=x'


class SystemCase(SynchronousTestCase):
    """A browser that has not logged in yet."""

    def setUp(self) -> None:
        self.house = WebHouse()
        self.store = self.house.house.store
        self.browser = self.house.browser()

    def token(self, scopes: frozenset[Scope] = SYSTEM, address: str = "", lifetime: float = 0.0) -> str:
        made = make_token()
        end = self.store.now() + timedelta(seconds=lifetime) if lifetime else None
        owner = parse(address) if address else None
        added = self.store.tokens.add(TokenRequest(made.token_id, made.digest, owner, scopes, "", end))
        self.successResultOf(Deferred.fromCoroutine(added))
        return made.text

    def log_in(self, text: str, then: str = "") -> Page:
        page = self.browser.get("/system/login")
        return self.browser.post("/system/login", page.proof, None, token=text, next=then)

    def queued(self, sender: str = "ann@example.test") -> str:
        """Accept a message for another host."""
        path = Address("zoe", "elsewhere.example")
        incoming = self.store.intake.begin()
        incoming.write(b"Subject: x\r\n\r\nx\r\n")
        envelope = Envelope(parse(sender), (Recipient(path, (RemoteRoute(path),)),), self.store.now())
        self.successResultOf(Deferred.fromCoroutine(incoming.commit(envelope)))
        queue_id: str = incoming.queue_id
        return queue_id


class LoginTests(SystemCase):
    def test_every_page_needs_a_login(self) -> None:
        self.browser.log_in(ALICE)
        for path in (*PAGES, "/wire/x", "/wire/x/events", "/wire/x/page"):
            page = self.browser.get(f"/system{path}")
            self.assertEqual((page.code, page.header("Location")[:13]), (303, "/system/login"), path)
        page = self.browser.post("/system/queue", self.browser.get("/system/login").proof, None, change="drop")
        self.assertEqual(page.header("Location")[:13], "/system/login")

    def test_an_operators_token_logs_in_and_is_nowhere_in_the_browser(self) -> None:
        text = self.token()
        page = self.log_in(text, "/system/queue")
        self.assertEqual((page.code, page.header("Location")), (303, "/system/queue"))
        cookie = page.header("Set-Cookie")
        self.assertIn("HttpOnly; SameSite=Strict", cookie)
        self.assertNotIn(text, cookie)
        self.assertEqual(self.browser.get("/system/queue").code, 200)

    def test_other_tokens_do_not(self) -> None:
        mine = self.token(frozenset({Scope.MAIL_READ}), ALICE)
        for text, code in ((mine, 403), (make_token().text, 403), ("", 400), ("x" * 1000, 400)):
            page = self.log_in(text)
            self.assertEqual(page.code, code)
            self.assertNotIn("emailsys-operator", page.header("Set-Cookie"))
        self.assertEqual(self.browser.get("/system").code, 303)

    def test_the_login_leads_only_to_these_pages(self) -> None:
        for then in ("https://evil.example/", "//evil.example", "/system/../x\r\ny", "/systematic", "/system\\x"):
            self.assertEqual(self.log_in(self.token(), then).header("Location"), "/system")

    def test_a_removed_token_ends_its_logins(self) -> None:
        text = self.token()
        self.log_in(text)
        self.assertEqual(self.browser.get("/system/queue").code, 200)
        found = read_token(text)
        assert found is not None
        self.successResultOf(Deferred.fromCoroutine(self.store.tokens.remove(found[0])))
        self.assertEqual(self.browser.get("/system/queue").code, 303)

    def test_a_login_ends_by_silence_and_by_logging_out(self) -> None:
        self.log_in(self.token())
        page = self.browser.get("/system/queue")
        self.assertEqual(self.browser.post("/system/logout", page.proof).header("Location"), "/system/login")
        self.assertEqual(self.browser.get("/system/queue").code, 303)
        self.log_in(self.token())
        self.house.clock.advance(3601)
        self.assertEqual(self.browser.get("/system/queue").code, 303)

    def test_a_link_logs_in_once_and_for_ten_minutes(self) -> None:
        link = self.house.web.operators.make_link()
        self.assertEqual(self.browser.get(link).header("Location"), "/system")
        self.assertEqual(self.browser.get("/system/queue").code, 200)
        self.assertEqual(self.house.browser().get(link).code, 403)
        late = self.house.web.operators.make_link()
        self.house.clock.advance(601)
        self.assertEqual(self.house.browser().get(late).code, 403)

    def test_a_scope_is_needed_for_what_it_permits(self) -> None:
        self.log_in(self.token(frozenset({Scope.SYSTEM_READ})))
        queue_id = self.queued()
        page = self.browser.get("/system/queue")
        self.assertNotIn('name="change"', page.text)
        refused = self.browser.post("/system/queue", page.proof, None, change="hold", queue_id=queue_id)
        self.assertEqual(refused.code, 403)
        self.assertEqual(self.browser.get("/system/wire").code, 403)

    def test_wrong_tokens_are_limited(self) -> None:
        codes = {self.log_in(make_token().text).code for _ in range(30)}
        self.assertIn(429, codes)


class PageTests(SystemCase):
    def setUp(self) -> None:
        super().setUp()
        self.log_in(self.token())

    def test_every_page_is_shown(self) -> None:
        for path in ("/queue", "/directory", "/routes", "/forecast", "/verify", "/trace", "/wire", "/log"):
            page = self.browser.get(f"/system{path}")
            self.assertEqual(page.code, 200, path)
            self.assertEqual(len(re.findall('aria-current="page"', page.text)), 1)
            self.assertNotRegex(page.text, r'<script>|onclick=|style="')
        self.assertIn("explorer.js", self.browser.get("/explorer").text)

    def test_queued_mail_is_held_released_and_dropped(self) -> None:
        queue_id = self.queued()
        page = self.browser.get("/system/queue")
        self.assertIn(queue_id, page.text)
        held = self.browser.post("/system/queue", page.proof, None, change="hold", queue_id=queue_id)
        self.assertEqual(held.header("Location"), "/system/queue?done=1")
        self.assertIn('class="state held"', self.browser.get("/system/queue?state=held").text)
        refused = self.browser.post("/system/queue", page.proof, None, change="drop", queue_id=queue_id)
        self.assertEqual(refused.code, 400)
        none = self.browser.post("/system/queue", page.proof, None, change="drop", sure="yes")
        self.assertEqual(none.header("Location"), "/system/queue?done=none")
        self.browser.post("/system/queue", page.proof, None, change="drop", sure="yes", queue_id=queue_id)
        self.assertIn("No mail for other hosts", self.browser.get("/system/queue").text)

    def change(self, **values: str) -> Page:
        return self.browser.post("/system/directory", self.browser.get("/system/directory").proof, None, **values)

    def test_the_directory_is_changed_by_its_forms(self) -> None:
        added = self.change(do="add-user", address="carol@home.test", password="correct horse battery")
        self.assertEqual(added.header("Location"), "/system/directory?done=add-user")
        again = self.change(do="add-user", address="carol@home.test", password="correct horse battery")
        self.assertEqual(again.code, 409)
        self.assertIn('role="alert"', again.text)
        self.change(do="disable", address="carol@home.test")
        self.assertIn("Enable carol@home.test", self.browser.get("/system/directory").text)
        self.change(do="set-alias", address="sales@home.test", targets="carol@home.test, zoe@elsewhere.example")
        self.assertIn("zoe@elsewhere.example", self.browser.get("/system/directory").text)
        self.change(do="add-domain", name="new.test", address="carol@home.test")
        self.assertIn("new.test", self.browser.get("/system/directory").text)
        for wrong in ({"do": "enable", "address": EVIL}, {"do": "add-domain", "name": EVIL, "address": "a@b.example"}):
            page = self.change(**wrong)
            self.assertEqual(page.code, 422)
            self.assertNotIn("<script>", page.text)
        self.assertEqual(self.change(do=EVIL).header("Location"), "/system/directory?done=")

    def remove(self, again: str, **values: str) -> Page:
        asked = self.browser.get(f"/system/remove?{urlencode(values)}")
        self.assertEqual((asked.code, asked.text.count('name="again"')), (200, 1))
        return self.browser.post("/system/remove", asked.proof, None, again=again, **values)

    def test_a_removal_needs_the_name_again(self) -> None:
        self.change(do="add-domain", name="new.test", address=ALICE)
        self.change(do="add-user", address="carol@new.test", password="correct horse battery")
        self.change(do="set-alias", address="sales@home.test", targets="carol@new.test")
        with_users = self.remove("new.test", kind="domain", name="new.test")
        self.assertEqual(with_users.code, 409)
        for kind, name in (("alias", "sales@home.test"), ("user", "carol@new.test"), ("domain", "new.test")):
            for wrong in ("", EVIL, name[1:]):
                refused = self.remove(wrong, kind=kind, name=name)
                self.assertEqual(refused.code, 422)
                self.assertNotIn("<script>", refused.text)
            gone = self.remove(f" {name.upper()} ", kind=kind, name=name)
            self.assertEqual(gone.header("Location"), f"/system/directory?done=remove-{kind}")
            self.assertEqual(self.browser.get(f"/system/remove?kind={kind}&name={name}").code // 100, 4)
        self.assertNotIn("new.test", self.browser.get("/system/directory").text)
        for query in ("", "kind=x", "kind=user&name=x", "kind=user&name=a@gone.test", "kind=route&to=x.test"):
            self.assertIn(self.browser.get(f"/system/remove?{query}").code, (404, 409), query)

    def test_a_maildrop_with_mail_is_removed_only_with_it(self) -> None:
        found = self.successResultOf(Deferred.fromCoroutine(self.store.directory.find_address("bob", "home.test")))
        assert found is not None
        path = parse(BOB)
        incoming = self.store.intake.begin()
        incoming.write(b"Subject: x\r\n\r\nx\r\n")
        envelope = Envelope(None, (Recipient(path, (LocalRoute(found.account_id),)),), self.store.now())
        self.successResultOf(Deferred.fromCoroutine(incoming.commit(envelope)))
        self.assertEqual(self.remove(BOB, kind="user", name=BOB).code, 409)
        self.assertEqual(self.remove(BOB, kind="user", name=BOB, purge="yes").code, 303)
        self.assertNotIn(BOB, self.browser.get("/system/directory").text)

    def test_quotas_are_set_and_removed(self) -> None:
        for of in (ALICE, "home.test"):
            for values, shown in (
                ({"limit": "size", "amount": "1.5", "unit": "GiB"}, "1,610,612,736"),
                ({"limit": "size", "amount": "2", "unit": "MiB"}, "2,097,152"),
            ):
                self.assertEqual(self.change(do="set-quota", address=of, **values).code, 303)
                # The list shows the octets of a domain, and the share of a user.
                self.assertIn(shown if of == "home.test" else "<meter", self.browser.get("/system/directory").text)
                page = self.browser.get(f"/system/quota?of={of}")
                self.assertIn(f'value="{values["amount"]}"', page.text)
            for wrong in ({"amount": "x"}, {"amount": "0"}, {"amount": "1", "unit": EVIL}, {"amount": "9" * 40}):
                self.assertEqual(self.change(do="set-quota", address=of, **wrong).code, 422)
            self.assertEqual(self.change(do="set-quota", address=of, limit="none").code, 303)
        self.assertNotIn("<meter", self.browser.get("/system/directory").text)
        for of in ("", "gone@home.test", "gone.test", EVIL, "a@@"):
            self.assertEqual(self.browser.get(f"/system/quota?{urlencode({'of': of})}").code, 404, of)

    def test_a_route_is_set_and_removed(self) -> None:
        def set_route(**values: str) -> Page:
            return self.browser.post("/system/routes", self.browser.get("/system/routes").proof, None, **values)

        self.assertEqual(set_route(host="smart.test", tls="none", port="2525", to="far.test").code, 303)
        self.assertIn("smart.test:2525", self.browser.get("/system/routes").text)
        for wrong in ({"port": "x"}, {"port": "70000"}, {"tls": "none", "username": "u"}, {"host": EVIL}, {"to": EVIL}):
            page = set_route(**{"host": "smart.test", "tls": "verified", **wrong})
            self.assertEqual(page.code, 422, wrong)
            self.assertNotIn("<script>", page.text)
        values = {"kind": "route", "to": "far.test", "from": ""}
        asked = self.browser.get(f"/system/remove?{urlencode(values)}")
        self.assertEqual(self.browser.post("/system/remove", asked.proof, None, again="x", **values).code, 422)
        gone = self.browser.post("/system/remove", asked.proof, None, again="smart.test", **values)
        self.assertEqual(gone.header("Location"), "/system/routes?done=removed")
        self.assertNotIn("smart.test", self.browser.get("/system/routes").text)
        for host, shown in (("smart.test", "smart.test:25<"), ("lmtp:boxes.test", "lmtp:boxes.test:24<")):
            self.assertNotIn('value="25"', self.browser.get("/system/routes").text)
            self.assertEqual(set_route(host=host, port="", tls="none", to="far.test").code, 303)
            self.assertIn(shown, self.browser.get("/system/routes").text)

    def test_the_log_says_who_changed_what_and_no_secret(self) -> None:
        self.change(do="add-user", address="carol@home.test", password="correct horse battery")
        self.change(do="disable", address="carol@home.test")
        self.change(do="disable", address="gone@home.test")
        self.remove("carol@home.test", kind="user", name="carol@home.test")
        changed = [str(fields) for fields in self.house.telemetry.of("operator-change")]
        self.assertEqual(len(changed), 3)
        for line, command in zip(changed, ("user.add", "user.enabled", "user.remove"), strict=True):
            self.assertRegex(line, rf"'by': 'token-\w+', 'ip': '192.0.2.7', 'command': '{command}'.*carol")
        self.assertNotIn("horse", str(self.house.telemetry.lines))

    def test_ten_thousand_domains_are_shown_page_by_page(self) -> None:
        """The page stays small; a link leads on, and one domain is found by its name."""
        self.log_in(self.token())
        accounts = self.store.accounts
        for number in range(10_000):
            self.successResultOf(
                Deferred.fromCoroutine(accounts.add_domain(f"d{number:04}.test", parse("alice@home.test")))
            )
        page = self.browser.get("/system/directory")
        self.assertLess(len(page.text), 200_000)
        self.assertNotIn("d0150.test", page.text)
        later = re.search(r'href="([^"]+)#domains">Further domains', page.text)
        assert later is not None, page.text[-2000:]
        self.assertIn("d0150.test", self.browser.get(f"/system/directory{later[1].replace('&amp;', '&')}").text)
        found = self.browser.get("/system/directory?domain=d9999.test").text
        self.assertIn("Users of d9999.test", found)
        self.assertIn("There is no domain of this name", self.browser.get("/system/directory?domain=other.test").text)

    def test_the_directory_is_not_changed_without_the_scope(self) -> None:
        self.log_in(self.token(frozenset({Scope.SYSTEM_READ})))
        for path in ("/directory", "/routes"):
            self.assertNotIn("<summary>", self.browser.get(f"/system{path}").text)
        for path in ("/remove?kind=user&name=alice@home.test", "/quota?of=alice@home.test"):
            self.assertEqual(self.browser.get(f"/system{path}").code, 403)
        page = self.browser.get("/system/login")
        refused = self.browser.post("/system/directory", page.proof, None, do="disable", address=ALICE)
        self.assertEqual(refused.code, 403)

    def test_a_change_needs_the_proof_of_the_form(self) -> None:
        queue_id = self.queued()
        page = self.browser.post("/system/queue", "wrong", None, change="drop", sure="yes", queue_id=queue_id)
        self.assertEqual(page.code, 403)
        self.assertIn(queue_id, self.browser.get("/system/queue").text)

    def test_texts_of_strangers_are_texts(self) -> None:
        self.queued('"<script>alert(1)</script>"@example.test')
        encoded = EVIL.replace("<", "%3C").replace('"', "%22").replace(">", "%3E")
        for path in (
            "/queue?done=",
            "/queue?domain=",
            "/queue?state=",
            "/routes?address=",
            "/trace?query=",
            "/forecast?hours=",
            "/directory?domain=",
            "/log?text=",
            "/login?next=",
            "/queue?sender=",
        ):
            page = self.browser.get(f"/system{path}{encoded}")
            self.assertIn(page.code, (200, 422))
            self.assertNotIn("<script>alert", page.text, path)
            self.assertNotIn('"onload=x', page.text, path)
        tap = self.house.records.begin("smtp", False, "s-1")
        tap.opened("192.0.2.9:25", "192.0.2.1:25")
        tap.command(f"EHLO {EVIL}".encode(), 40)
        tap.reply(f"250 {EVIL}\r\n".encode())
        tap.closed("")
        shown, page = self.browser.get("/system/wire/s-1"), self.browser.get("/system/wire/s-1/page")
        for one in (shown, page):
            self.assertEqual(one.code, 200)
            self.assertNotIn("<script>", one.text)
            self.assertIn("&lt;script&gt;", one.text)
        self.assertIn("style-src 'sha256-", page.header("Content-Security-Policy"))
        self.assertEqual(self.browser.get("/system/wire/unknown").code, 404)

    def test_odd_parameters_are_no_exceptions(self) -> None:
        for path in (
            *("/queue?after=-1", "/queue?after=99999999999999999999999", "/queue?state=gone"),
            *("/forecast?hours=nan", "/forecast?hours=-5", "/forecast?hours=1e99", "/trace?query=x&cursor=x"),
            *("/routes?address=a&sender=b", "/verify/step?cursor=x"),
        ):
            self.assertIn(self.browser.get(f"/system{path}").code, (200, 422), path)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_store_that_does_not_answer_is_told_on_the_page(self) -> None:
        async def fails() -> None:
            raise StoreError("the disk is gone")

        self.patch(self.store.accounts, "list_domains", fails)
        page = self.browser.get("/system/directory")
        self.assertEqual(page.code, 503)
        self.assertIn("the disk is gone", page.text)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_check_answers_step_by_step(self) -> None:
        found = json.loads(self.browser.get("/system/verify/step").body)
        self.assertEqual((found["cursor"], found["flaws"]), (None, []))


class DrawingTests(SynchronousTestCase):
    def test_each_step_of_a_route_has_a_box_below_the_one_it_follows_from(self) -> None:
        hop = {"recipient": "b@c.example", "next_hop": "c.example", "tls": "none", "login": None, "problem": "x" * 500}
        steps = [{"depth": depth, "what": f"step {depth}"} for depth in (0, 1, 2, 1, 40)]
        graph = route_graph({"address": "a@b.example", "sender": None, "steps": steps, "next_hops": [hop]})
        self.assertEqual(len(graph.boxes), 8)
        self.assertEqual(graph.boxes[0].start, None)
        for box in graph.boxes[1:]:
            assert box.start is not None
            self.assertLess(box.start[1], box.y + 22)
            self.assertGreater(box.width, 100)
        self.assertLess(len(graph.boxes[-1].words), 80)

    def test_a_forecast_stays_on_its_line(self) -> None:
        steps = [{"after": after, "what": "attempt fails"} for after in (0, 300, 86400)]
        line = time_line(steps, 3600)
        self.assertEqual((line.marks[0].x, line.marks[-1].x), (line.left, line.right))
        self.assertEqual(time_line([], 0).marks, [])

    def test_durations_have_two_units(self) -> None:
        self.assertEqual([span(n) for n in (0, 59.6, 3600, 90061)], ["0 s", "1 min", "1 h", "1 d 1 h"])


del SystemCase
