"""The gate of the web face: hosts, origins, cookies, headers and limits of requests."""

from __future__ import annotations

import time
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import WebSettings
from emailsys.web.base.face import Answer, Call
from tests.fakes.net.web_house import ALICE, HOST, WebHouse


class HostTests(SynchronousTestCase):
    """A site of an attacker may let its name lead to this server (DNS rebinding)."""

    def test_other_hosts_get_no_page(self) -> None:
        """Its own name, the names of loopback, the address of the connection and configured names are served."""
        house = WebHouse(WebSettings(listen=(("127.0.0.1", 8080),), hosts=("webmail.home.test",)))
        for host in (
            HOST,
            f"{HOST}:8080",
            f"{HOST}.",
            "localhost:8080",
            "127.0.0.1",
            "[::1]:8080",
            "webmail.home.test",
        ):
            self.assertEqual(house.browser().ask("GET", "/login", host=host).code, 200, host)
        self.assertEqual(house.browser().ask("GET", "/login", host="192.0.2.1:8080").code, 200)
        for host in ("evil.example", "192.0.2.99", f"{HOST}.evil.example", f"{HOST}@evil.example", "", "localhost:x"):
            page = house.browser().ask("GET", "/login", host=host)
            self.assertEqual((page.code, b"csrf" in page.body), (421, False), host)

    def test_two_hosts_are_refused(self) -> None:
        """A proxy might look at one of them, and this server at the other."""
        channel, transport = WebHouse().connect()
        channel.dataReceived(f"GET /login HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\n\r\n".encode())
        self.assertTrue(transport.value().startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), transport.value())


class HeaderTests(SynchronousTestCase):
    """Every answer has the headers that protect it."""

    def test_every_answer_has_them(self) -> None:
        """Pages, redirects, errors, files, and answers to other hosts."""
        house = WebHouse()
        browser = house.browser()
        browser.log_in()
        for path in ("/", "/login", "/nothing", "/once/x", "/static/x/style.css", "/static/x/nothing.css"):
            page = browser.get(path)
            policy = page.header("Content-Security-Policy")
            for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
                self.assertIn(part, policy, path)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(page.header("X-Content-Type-Options"), "nosniff", path)
            self.assertEqual(page.header("Referrer-Policy"), "same-origin", path)
            if not path.startswith("/static/"):
                self.assertEqual(page.header("Cache-Control"), "no-store", path)
        self.assertIn("frame-ancestors", browser.ask("GET", "/", host="evil").header("Content-Security-Policy"))

    def test_files_are_kept_by_their_tag(self) -> None:
        """The address in a page changes with the file. Another tag, of an older page, is not kept."""
        browser = WebHouse().browser()
        text = browser.get("/login").text
        path = text[text.index("/static/") :].partition('"')[0]
        self.assertIn("immutable", browser.get(path).header("Cache-Control"))
        self.assertEqual(browser.get("/static/old/style.css").header("Cache-Control"), "no-store")

    def test_no_path_leads_out_of_the_files(self) -> None:
        """Files are found by name in memory."""
        browser = WebHouse().browser()
        for path in ("../style.css", "..%2fstyle.css", "%2e%2e/templates/login.html", "//etc/passwd", "a%00.css", "."):
            self.assertEqual(browser.get(f"/static/x/{path}").code, 404, path)


class CookieTests(SynchronousTestCase):
    """Cookies of browsers."""

    def test_the_cookie_is_only_for_this_server_and_no_script(self) -> None:
        """Over TLS, also that of a proxy, it is never sent in the clear, and no other host can set it."""
        cookie = WebHouse().browser().get("/login").header("Set-Cookie")
        self.assertRegex(cookie, r"\Aemailsys=[-\w]{43}; Path=/; HttpOnly; SameSite=Strict\Z")
        proxied = WebHouse(WebSettings(listen=(("127.0.0.1", 8080),), behind_proxy=True)).browser()
        cookie = proxied.get("/login", {"X-Forwarded-For": "203.0.113.5"}).header("Set-Cookie")
        self.assertRegex(cookie, r"\A__Host-emailsys=[-\w]{43}; Path=/; HttpOnly; SameSite=Strict; Secure\Z")

    def test_the_proxy_names_the_address_and_the_browser_does_not(self) -> None:
        """What stands before the last address is what the browser says."""
        house = WebHouse(WebSettings(listen=(("127.0.0.1", 8080),), behind_proxy=True))
        browser = house.browser()
        told = {"X-Forwarded-For": "198.51.100.1, 203.0.113.5"}
        proof = browser.get("/login", told).proof
        browser.post("/login", proof, told, name=ALICE, password="wrong")
        self.assertEqual(house.telemetry.lines[-1][1]["ip"], "203.0.113.5")
        direct = WebHouse()
        direct_browser = direct.browser()
        direct_browser.post("/login", direct_browser.get("/login").proof, told, name=ALICE, password="wrong")
        self.assertEqual(direct.telemetry.lines[-1][1]["ip"], "192.0.2.7")


class FormTests(SynchronousTestCase):
    """Forms must come from our own pages."""

    def test_a_form_without_the_token_of_its_browser_does_nothing(self) -> None:
        """Missing, wrong, that of another browser, and without a cookie."""
        house = WebHouse()
        browser, other = house.browser(), house.browser()
        browser.log_in()
        other_proof = other.get("/login").proof
        for proof in ("", "x", other_proof, "é"):
            self.assertEqual(browser.post("/logout", proof).code, 403, proof)
        self.assertEqual(len(house.web.face.sessions), 1)
        other.cookies.clear()
        self.assertEqual(other.post("/login", other_proof, name=ALICE, password="x").code, 403)

    def test_a_form_of_another_site_is_refused_with_the_right_token(self) -> None:
        """Browsers say where a form comes from."""
        browser = WebHouse().browser()
        proof = browser.get("/login").proof
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://{HOST}.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            self.assertEqual(browser.post("/login", proof, headers, name=ALICE, password="x").code, 403, str(headers))
        own = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(browser.post("/login", proof, own, name=ALICE, password="secret").code, 303)

    def test_a_malformed_form_is_a_bad_request(self) -> None:
        """Nothing of it is logged as our fault."""
        house = WebHouse()
        browser = house.browser()
        browser.get("/login")
        for kind in ("", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "application/json"):
            page = browser.ask("POST", "/login", b"--x\r\nnothing", {"Content-Type": kind} if kind else {})
            self.assertEqual(page.code, 400, kind)
        self.assertEqual(house.telemetry.exceptions, [])

    def test_a_hostile_form_is_refused_at_once(self) -> None:
        """The daemon stands still while a form is parsed: 63 kB without a login took it 20 seconds."""
        browser = WebHouse().browser()
        browser.get("/login")
        began = time.process_time()
        for body in (b"--x\r\n" + b"a" * 63_000 + b"\r\n\r\nq\r\n--x--\r\n", b"--x\r\n" * 12_000 + b"--x--\r\n"):
            page = browser.ask("POST", "/login", body, {"Content-Type": "multipart/form-data; boundary=x"})
            self.assertEqual(page.code, 400)
        self.assertLess(time.process_time() - began, 3)


class LimitTests(SynchronousTestCase):
    """Nobody occupies the server with large or slow requests."""

    def test_a_large_body_without_a_login_is_refused_before_it_is_read(self) -> None:
        """A login needs less than 64 KiB; a message with files is for those who have logged in."""
        house = WebHouse()
        head = f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 70000\r\n\r\n".encode()
        channel, transport = house.connect()
        channel.dataReceived(head + b"x" * 100)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 413"), transport.value())
        channel.dataReceived(b"x" * 100_000 + b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(transport.value().count(b"HTTP/1.1"), 1)
        house.clock.advance(2)
        self.assertTrue(transport.aborted)
        browser = house.browser()
        browser.log_in()
        self.assertEqual(browser.ask("POST", "/logout", b"x" * 70000).code, 400)

    def test_a_body_of_unknown_length_is_refused(self) -> None:
        """Browsers say how long their forms are."""
        channel, transport = WebHouse().connect()
        channel.dataReceived(f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 411"), transport.value())

    def test_a_slow_header_ends_in_time(self) -> None:
        """One octet every few seconds keeps no connection open (slow loris)."""
        house = WebHouse()
        channel, transport = house.connect()
        for octet in f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {'y' * 50}".encode():
            channel.dataReceived(bytes([octet]))
            house.clock.advance(1)
            if transport.aborted:
                break
        self.assertTrue(transport.aborted)
        self.assertLess(house.clock.seconds(), 20)

    def test_a_slow_body_ends_in_time(self) -> None:
        """A body has half a minute, and longer only by its length."""
        house = WebHouse()
        channel, transport = house.connect()
        channel.dataReceived(f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4000\r\n\r\n".encode())
        for _ in range(31):
            channel.dataReceived(b"x")
            house.clock.advance(1)
        self.assertFalse(transport.aborted)
        house.clock.advance(1.5)
        self.assertTrue(transport.aborted)

    def test_a_large_answer_is_sent_as_it_is_read(self) -> None:
        """A slow reader gets all of it; one that reads nothing for a minute is cut off."""
        house = WebHouse()

        async def large(call: Call) -> Answer:
            return Answer(b"x" * 500_000, content_type="application/octet-stream")

        house.web.face.route("/large", large)
        for pauses, is_cut in ((50, False), (70, True)):
            channel, transport = house.connect()
            written = transport.write

            def write(octets: bytes, channel: Any = channel, written: Any = written) -> None:
                written(octets)
                channel.pauseProducing()

            transport.write = write  # type: ignore[method-assign]
            channel.dataReceived(f"GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            while not transport.aborted and len(transport.value().partition(b"\r\n\r\n")[2]) < 500_000:
                house.clock.advance(pauses)
                if not transport.aborted:
                    channel.resumeProducing()
            self.assertEqual(transport.aborted, is_cut)

    def test_a_browser_that_leaves_in_the_middle_is_no_failure(self) -> None:
        """The rest of the answer is dropped."""
        house = WebHouse()

        async def large(call: Call) -> Answer:
            return Answer(b"x" * 500_000, content_type="application/octet-stream")

        house.web.face.route("/large", large)
        channel, transport = house.connect()
        written = transport.write

        def write(octets: bytes) -> None:
            written(octets)
            channel.pauseProducing()

        transport.write = write  # type: ignore[method-assign]
        channel.dataReceived(f"GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        channel.stopProducing()
        channel.connectionLost(Failure(ConnectionError()))
        house.clock.advance(100)
        self.assertEqual((house.telemetry.exceptions, self.flushLoggedErrors()), ([], []))

    def test_connections_over_the_limit_are_told_so(self) -> None:
        """As with SMTP and POP3, there is a limit for one address."""
        house = WebHouse(WebSettings(listen=(("127.0.0.1", 8080),), max_connections_per_ip=2))
        first, _ = house.connect()
        house.connect()
        _, transport = house.connect()
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 503"), transport.value())
        _, other = house.connect("192.0.2.8")
        self.assertEqual(other.value(), b"")
        first.connectionLost(None)
        _, again = house.connect()
        self.assertEqual(again.value(), b"")

    def test_the_end_of_the_daemon_waits_for_answers_only(self) -> None:
        """Idle connections are closed at once."""
        house = WebHouse()
        _, idle = house.connect()
        channel, busy = house.connect()
        channel.dataReceived(f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\n".encode())
        self.assertEqual(house.web.server.drain(), 2)
        self.assertEqual((idle.disconnecting, busy.disconnecting), (True, False))
        channel.dataReceived(b"csrf=long")
        house.clock.advance(0)
        self.assertIn(b"400 Bad Request", busy.value())
        self.assertTrue(busy.disconnecting)
