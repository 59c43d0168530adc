"""The HTTP API of `emailsys catch`, over real sockets on trial's reactor."""

from __future__ import annotations

import http.client
import json
import re
import smtplib
import socket
from typing import Any, cast
from urllib.request import HTTPCookieProcessor, build_opener

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys.testing.late_web import LateWeb
from emailsys.testing.server import listen
from emailsys.testing.storing_server import StoringServer

LETTER = (
    b"From: shop@example.com\r\nSubject: Welcome\r\nContent-Type: text/html\r\n\r\n<a href='https://a.example/x'>x</a>"
)


class APITests(TestCase):
    """Requests come from a thread, as programs make them."""

    async def _start(self) -> None:
        self.server = StoringServer(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        listeners = {name: listen("127.0.0.1", 0) for name in ("smtp", "pop3")}
        self.smtp: tuple[str, int] = listeners["smtp"].getsockname()
        try:
            await self.server.start(listeners)
        finally:
            for listener in listeners.values():
                listener.close()
        web: Any = LateWeb(reactor, self.server, "127.0.0.1", 0)
        listening: Any = IReactorTCP(reactor).listenTCP(0, web, interface="127.0.0.1")
        self.addCleanup(web.close)
        self.addCleanup(listening.stopListening)
        self.port: int = listening.getHost().port

    async def ask(
        self, path: str, method: str = "GET", value: object = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """The status of an answer, its JSON, and its header."""

        def talk() -> tuple[int, Any, dict[str, str]]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                body = None if value is None else json.dumps(value)
                given = {name.replace("_", "-"): text for name, text in headers.items()}
                if body is not None:
                    given.setdefault("Content-Type", "application/json")
                connection.request(method, path, body, given)
                answer = connection.getresponse()
                octets, fields = answer.read(), {name.lower(): text for name, text in answer.getheaders()}
            finally:
                connection.close()
            is_json = fields.get("content-type") == "application/json"
            return answer.status, json.loads(octets) if is_json else octets, fields

        found: tuple[int, Any, dict[str, str]] = await deferToThread(talk)
        return found

    async def send(self, to: str = "bob@example.com") -> None:
        """Send a message."""

        def talk() -> None:
            with smtplib.SMTP(*self.smtp, timeout=30) as client:
                client.sendmail("bounces@example.com", [to], LETTER)

        await deferToThread(talk)

    async def test_messages(self) -> None:
        """Listed, read, saved and deleted."""
        await self._start()
        await self.send()
        await self.send("carol@example.com")
        _, listed, _ = await self.ask("/catch/messages?to=bob")
        self.assertEqual((listed["total"], [one["subject"] for one in listed["messages"]]), (1, ["Welcome"]))
        path = f"/catch/messages/{listed['messages'][0]['id']}"
        _, whole, _ = await self.ask(path)
        self.assertEqual((whole["links"], whole["parts"][0]["number"]), (["https://a.example/x"], "1"))
        for saved, octets in ((f"{path}/raw", LETTER + b"\r\n"), (f"{path}/parts/1", LETTER.partition(b"\r\n\r\n")[2])):
            status, found, fields = await self.ask(saved)
            self.assertEqual((status, found.rstrip()), (200, octets.rstrip()))
            # A stranger's HTML is no page of this server.
            self.assertEqual(fields["content-type"], "application/octet-stream")
            self.assertIn("attachment", fields["content-disposition"])
        for missing in ("/catch/messages/x", f"{path}/parts/2"):
            self.assertEqual((await self.ask(missing))[0], 404)
        self.assertEqual((await self.ask("/catch/messages", "DELETE"))[0], 204)
        self.assertEqual((await self.ask("/catch/messages"))[1], {"messages": [], "total": 0})

    async def test_waiting(self) -> None:
        """The answer comes with the message, or says which messages came instead."""
        await self._start()
        waiting = deferToThread(lambda: None).addCallback(lambda _: self.ask("/catch/wait?to=bob&subject=Wel"))
        await self.send("carol@example.com")
        await self.send()
        status, found, _ = await (await waiting)
        self.assertEqual((status, found["envelope_to"]), (200, ["bob@example.com"]))
        status, found, _ = await self.ask(f"/catch/wait?after={found['id']}&timeout=0.01")
        self.assertEqual(status, 404)
        self.assertIn("2 other messages arrived", found["detail"])
        for wrong in ("nan", "-1", "301", "x"):
            status, found, _ = await self.ask(f"/catch/wait?timeout={wrong}")
            self.assertEqual((status, found["error"]), (400, "The timeout is wrong"), wrong)

    async def test_failures(self) -> None:
        """Set, listed, happened and deleted; a wrong one sets none."""
        await self._start()
        sentence = '451 4.0.0 "scripted failure" at the first RCPT for bob@'
        status, found, _ = await self.ask("/catch/failures", "POST", {"failures": ["451 at the first RCPT for bob@"]})
        self.assertEqual((status, found), (201, {"failures": [sentence], "happened": []}))
        wrong: object
        for wrong in ({"failures": ["550 at RCPT", "550 sometimes"]}, {"failures": []}, [], {"failures": [1]}):
            self.assertEqual((await self.ask("/catch/failures", "POST", wrong))[0], 400)
        await self.assertFailure(deferToThread(self._blocking_send), smtplib.SMTPRecipientsRefused)
        _, found, _ = await self.ask("/catch/failures")
        self.assertEqual(found, {"failures": [], "happened": [f"{sentence} (bob@example.com)"]})
        await self.ask("/catch/failures", "POST", {"failures": ["550 at connect"]})
        self.assertEqual((await self.ask("/catch/failures", "DELETE"))[0], 204)
        await self.send()

    def _blocking_send(self) -> None:
        with smtplib.SMTP(*self.smtp, timeout=30) as client:
            client.sendmail("bounces@example.com", ["bob@example.com"], LETTER)

    async def test_the_api_of_the_daemon(self) -> None:
        """Any token fits: one that is an address opens its mail, any other all mail. None is an operator's."""
        await self._start()
        await self.send()
        await self.send("carol@example.com")
        counts = []
        for token in ("bob@example.com", "nobody@example.com", "any"):
            status, found, _ = await self.ask("/api/v1/messages", Authorization=f"Bearer {token}")
            self.assertEqual(status, 200, found)
            counts.append(len(found["items"]))
        self.assertEqual(counts, [1, 0, 2])
        self.assertEqual((await self.ask("/api/v1/domains", Authorization="Bearer any"))[0], 403)

    async def test_mail_in_the_browser(self) -> None:
        """One address leads into all mail, without a password."""
        await self._start()
        await self.send()
        await self.send("carol@example.com")

        def browse() -> tuple[str, str]:
            browser = build_opener(HTTPCookieProcessor())
            with browser.open(f"http://127.0.0.1:{self.port}/catch", timeout=30) as answer:
                return answer.geturl(), answer.read().decode()

        address, page = await deferToThread(browse)
        self.assertTrue(address.endswith("/mail/0/"), address)
        self.assertEqual(len(re.findall(r">\s*Welcome\s*<", page)), 2, page)

    async def test_a_client_that_has_gone(self) -> None:
        """Its wait ends, and nothing is logged."""
        await self._start()

        def leave() -> None:
            with socket.create_connection(("127.0.0.1", self.port), 30) as client:
                client.sendall(b"GET /catch/wait?to=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertRaises(TimeoutError, self._read_soon, client)

        await deferToThread(leave)
        inbox = self.server.inbox
        while inbox.observers:
            await deferLater(cast("IReactorTime", reactor), 0.01)

    def _read_soon(self, client: socket.socket) -> None:
        client.settimeout(0.2)
        client.recv(1)

    async def test_pages_of_other_sites(self) -> None:
        """They can neither read mail, by a name that leads here, nor delete it, nor script a failure."""
        await self._start()
        await self.send()
        self.assertEqual((await self.ask("/catch/messages", Host="evil.example"))[0], 421)
        for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
            self.assertEqual((await self.ask("/catch/messages", "DELETE", **headers))[0], 403)
            status, _, _ = await self.ask("/catch/failures", "POST", {"failures": ["550 at RCPT"]}, **headers)
            self.assertEqual(status, 403)
        simple = {"Content-Type": "text/plain"}
        status, _, _ = await self.ask("/catch/failures", "POST", {"failures": ["550 at RCPT"]}, **simple)
        self.assertEqual(status, 415)
        self.assertEqual((len(self.server.inbox.messages), self.server.script.failures), (1, ()))
