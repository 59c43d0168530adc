"""The API over HTTP: tokens in the header, limits of bodies, streams, and nothing for browsers of other sites."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import WebSettings
from emailsys.interfaces.operators import Scope, TokenRequest
from emailsys.mail.address import parse
from emailsys.tokens import make_token
from tests.fakes.net.web_house import ALICE, BROWSER_IP, HOST, Page, WebHouse


class HttpCase(SynchronousTestCase):
    """The API of a mail system in memory."""

    def setUp(self) -> None:
        self.house = WebHouse()
        self.browser = self.house.browser()
        self.mail = self.token(ALICE, Scope.MAIL_READ, Scope.MAIL_SEND)
        self.operator = self.token("", Scope.SYSTEM_READ, Scope.WIRE_READ)

    def token(self, address: str, *scopes: Scope) -> str:
        made = make_token()
        owner = parse(address) if address else None
        added = self.house.house.store.tokens.add(TokenRequest(made.token_id, made.digest, owner, frozenset(scopes)))
        self.successResultOf(Deferred.fromCoroutine(added))
        return made.text

    def ask(self, method: str, path: str, token: str = "", body: bytes = b"", **headers: str) -> Page:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        return self.browser.ask(method, f"/api/v1{path}", body, fields)


class HttpTests(HttpCase):
    def test_a_token_in_the_header_is_enough(self) -> None:
        body = json.dumps({"to": [{"address": ALICE}], "subject": "over HTTP"}).encode()
        sent = self.ask("POST", "/messages", self.mail, body, Content_Type="application/json")
        self.assertEqual(sent.code, 202, sent.text)
        page = self.ask("GET", "/messages", self.mail)
        self.assertEqual(json.loads(page.body)["items"][0]["subject"], "over HTTP")
        self.assertEqual(page.header("Content-Type"), "application/json")

    def test_no_answer_is_for_other_sites_sets_a_cookie_or_is_kept(self) -> None:
        for page in (
            self.ask("GET", "/messages", self.mail, Origin="https://evil.example"),
            self.ask("OPTIONS", "/messages", "", Origin="https://evil.example", Access_Control_Request_Method="GET"),
            self.ask("GET", "/nothing"),
            self.ask("GET", "/openapi.json"),
        ):
            names = {name for name in page.headers if name.startswith("access-control") or name == "set-cookie"}
            self.assertEqual(names, set())
            self.assertEqual(page.header("Cache-Control"), "no-store")
            self.assertIn("default-src 'none'", page.header("Content-Security-Policy"))

    def test_a_cookie_is_no_token(self) -> None:
        self.browser.log_in()
        self.assertEqual(self.ask("GET", "/messages").code, 401)
        self.assertEqual(self.ask("GET", "/status").code, 401)

    def test_the_document_is_served(self) -> None:
        document = json.loads(self.ask("GET", "/openapi.json").body)
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertIn("/messages/wait", document["paths"])

    def test_problems_are_problem_details(self) -> None:
        page = self.ask("DELETE", "/status", self.operator)
        self.assertEqual((page.code, page.header("Content-Type")), (405, "application/problem+json"))
        self.assertEqual(page.header("Allow"), "GET, HEAD")
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/users/%00"):
            self.assertIn(self.ask("GET", path, self.operator).code, (404, 400, 422))
        self.assertEqual(self.ask("HEAD", "/status", self.operator).body, b"")

    def test_an_address_that_is_not_utf_8_is_refused_and_not_logged(self) -> None:
        """Anybody could fill the log with tracebacks."""
        for path in ("/users/%ff", "/users/%ed%a0%80"):
            page = self.ask("GET", path)
            self.assertEqual(page.code, 400)
            self.assertIn("default-src 'none'", page.header("Content-Security-Policy"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fields_that_are_not_utf_8_are_refused_and_not_logged(self) -> None:
        token, large = f"Authorization: Bearer {self.mail}".encode(), b"Content-Length: 999999"
        for field, other, code in (
            (b"Authorization: Bearer \xff", b"Content-Length: 0", 401),
            # Its body would be read while the token is checked.
            (b"Authorization: Bearer \xff", large, None),
            (b"Accept: \xff", b"Content-Length: 0", 401),
            (b"Content-Type: \xff", token + b"\r\nContent-Length: 0", 415),
            (b"Idempotency-Key: \xff", token + b"\r\nContent-Length: 0", 415),
        ):
            channel, transport = self.house.connect(BROWSER_IP)
            head = b"POST /api/v1/messages HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n"
            channel.dataReceived(head + field + b"\r\n" + other + b"\r\n\r\n")
            self.house.clock.pump([0.1] * 50)
            self.assertEqual(transport.value()[:12], b"" if code is None else b"HTTP/1.1 %d" % code, field)
            channel.connectionLost(Failure(ConnectionError()))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_large_body_needs_a_valid_token(self) -> None:
        large = json.dumps({"to": [{"address": ALICE}], "text": "x" * 300_000}).encode()
        self.assertEqual(self.ask("POST", "/messages", "", large, Content_Type="application/json").code, 413)
        kind = {"Content_Type": "application/json"}
        self.assertEqual(self.ask("POST", "/messages", self.mail, large, **kind).code, 202)
        self.assertEqual(self.ask("PUT", "/routes", self.operator, large, **kind).code, 403)
        # A wrong token ends the connection while the body arrives.
        channel, transport = self.house.connect()
        wrong = make_token().text
        head = f"POST /api/v1/messages HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {wrong}\r\n"
        channel.dataReceived(f"{head}Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{".encode())
        self.house.clock.pump([0.5] * 20)
        self.assertTrue(transport.aborted)
        channel.connectionLost(Failure(ConnectionError()))

    def test_a_wrong_token_is_answered_and_counted_once(self) -> None:
        """Not aborted: only a large body is, whose token is checked while it arrives."""
        channel, transport = self.house.connect()
        for _ in range(2):
            channel.dataReceived(
                f"GET /api/v1/status HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer x\r\n\r\n".encode()
            )
            self.house.clock.pump([0.5] * 20)
            self.assertFalse(transport.aborted)
        self.assertEqual(transport.value().count(b"HTTP/1.1 401 "), 2)
        channel.connectionLost(Failure(ConnectionError()))

    def test_wrong_tokens_count_for_the_address_that_the_proxy_names(self) -> None:
        self.house = WebHouse(WebSettings(listen=(("127.0.0.1", 8080),), behind_proxy=True))
        mail = self.token(ALICE, Scope.MAIL_SEND)
        body = json.dumps({"to": [{"address": ALICE}], "text": "x" * 300_000}).encode()
        for number in range(50):
            channel, _ = self.house.connect()
            head = f"POST /api/v1/messages HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 203.0.113.5\r\n"
            channel.dataReceived(f"{head}Authorization: Bearer {number}\r\nContent-Length: 300000\r\n\r\n".encode())
            self.house.clock.pump([0.5] * 20)
            channel.connectionLost(Failure(ConnectionError()))
        self.browser = self.house.browser()
        named = {"X-Forwarded-For": "203.0.113.6", "Content-Type": "application/json"}
        self.assertEqual(self.ask("POST", "/messages", mail, body, **named).code, 202)

    def test_numbers_stream_until_the_connection_ends(self) -> None:
        got = self.stream("/events")
        self.assertIn(b"Content-Type: text/event-stream", got)
        self.assertGreaterEqual(got.count(b"event: numbers"), 3)

    def test_a_watch_of_the_wire_ends_with_its_connection(self) -> None:
        records: Any = self.house.records
        self.stream("/wire/events", before_end=lambda: self.assertTrue(records.is_on))
        self.assertFalse(records.is_on)

    def test_a_watch_ends_after_a_while_so_that_its_token_is_checked_again(self) -> None:
        channel, transport = self.house.connect(BROWSER_IP)
        head = f"GET /api/v1/wire/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self.operator}\r\n\r\n"
        channel.dataReceived(head.encode())
        self.assertTrue(self.house.records.is_on)
        self.house.clock.pump([10.0] * 31)
        self.assertFalse(self.house.records.is_on)
        # The last chunk.
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        channel.connectionLost(Failure(ConnectionError()))

    def test_a_watcher_of_the_wire_who_reads_nothing_is_disconnected(self) -> None:
        channel, transport = self.house.connect(BROWSER_IP)
        head = f"GET /api/v1/wire/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self.operator}\r\n\r\n"
        channel.dataReceived(head.encode())
        records: Any = self.house.records
        channel.pauseProducing()
        records.begin("smtp", False, "s-1").opened("192.0.2.9:4711", "192.0.2.1:25")
        self.house.clock.pump([1.0] * 59)
        self.assertFalse(transport.aborted)
        self.house.clock.pump([1.0] * 3)
        self.assertTrue(transport.aborted)
        channel.connectionLost(Failure(ConnectionError()))
        self.assertFalse(records.is_on)

    def test_a_watch_of_which_only_the_header_is_asked_for_ends(self) -> None:
        self.assertEqual(self.ask("HEAD", "/wire/events", self.operator).code, 200)
        self.assertFalse(self.house.records.is_on)

    def test_a_wait_ends_with_its_connection(self) -> None:
        self.stream("/messages/wait?timeout=100", self.mail)
        self.assertEqual(self.flushLoggedErrors(), [])
        # The limit of waiting requests would be reached otherwise.
        for _ in range(12):
            self.stream("/messages/wait?timeout=100", self.mail)
        self.assertEqual(self.ask("GET", "/messages/wait?timeout=0", self.mail).code, 200)

    def stream(self, path: str, token: str = "", before_end: Any = None) -> bytes:
        """Ask for something that goes on, for three seconds, and return what was sent."""
        channel, transport = self.house.connect(BROWSER_IP)
        head = f"GET /api/v1{path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token or self.operator}\r\n\r\n"
        channel.dataReceived(head.encode())
        self.house.clock.pump([0.5] * 6)
        if before_end is not None:
            before_end()
        channel.connectionLost(Failure(ConnectionError()))
        self.house.clock.pump([0.5] * 6)
        return bytes(transport.value())


del HttpCase
