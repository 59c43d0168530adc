"""Webhooks: what a program gets by HTTP, and what becomes of its answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import BROKEN_OFF, LEASE_UNCERTAIN, LOCAL_ERROR, MESSAGE_DAMAGED
from emailsys.mail.transmission import Outcome, Transmission
from emailsys.mail.webhook import Signature, Webhook, read_url
from emailsys.net.outbound import webhook as module
from emailsys.net.outbound.webhook import WebhookRelay
from tests.fakes.net.memory_hosts import BODY, quiet, transmission

reactor: Any = _reactor

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"the key of a test").decode()


class Program(Resource):
    """The program of somebody else. `answer` gets each request."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[dict[str, str], dict[bytes, list[bytes]], bytes]] = []
        self.answer: Callable[[Request], object] = lambda request: b""

    def render_POST(self, request: Request) -> object:
        """Keep what came, and answer."""
        fields = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        content = request.content
        assert content is not None
        content.seek(0)
        self.requests.append((fields, dict(request.args or {}), content.read()))
        return self.answer(request)


def status(code: int, text: bytes = b"", **fields: bytes) -> Callable[[Request], object]:
    """Answers with this status."""

    def answer(request: Request) -> object:
        request.setResponseCode(code)
        for name, value in fields.items():
            request.setHeader(name, value)
        return text

    return answer


class WebhookTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.program = Program()
        site = Site(self.program)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/mail?token=1"
        self.relay = WebhookRelay(reactor, OutboundSettings(), quiet(), lambda: NOW)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))

    def begin(self, message: Transmission, url: str = "", secret: str = SECRET) -> Deferred[Any]:
        webhook = Webhook(url or self.url, secret)
        return Deferred.fromCoroutine(self.relay.relay(NextHop(webhook.host, webhook=webhook), message))

    async def send(self, message: Transmission | None = None, url: str = "", secret: str = SECRET) -> Outcome:
        outcomes: list[Outcome] = await self.begin(message or transmission(), url, secret)
        assert len(outcomes) == len((message or transmission()).recipients)
        return outcomes[0]

    async def test_a_program_gets_the_message_with_its_envelope_and_a_signature(self) -> None:
        message = transmission("bob@example.net", "jörg@example.net", body=BODY * 20_000, smtputf8=True)
        outcome = await self.send(message)
        self.assertEqual(
            (outcome.kind.value, str(outcome.reply.code), outcome.reply.text, outcome.remote),
            ("delivered", "250", f"{self.url.partition('?')[0]} answered 200", "127.0.0.1"),
        )
        [(fields, form, body)] = self.program.requests
        self.assertEqual(form[b"message"], [BODY * 20_000])
        self.assertEqual(
            json.loads(form[b"envelope"][0]),
            {
                "queue_id": "Q1",
                "sender": "alice@example.test",
                "recipients": ["bob@example.net", "jörg@example.net"],
                "smtputf8": True,
            },
        )
        signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(b"the key of a test", signed, hashlib.sha256)).decode()
        self.assertEqual(fields["webhook-signature"], f"v1,{digest}")
        self.assertEqual(fields["webhook-timestamp"], str(int(NOW.timestamp())))
        # Another attempt has the same id, the same message for others has another one.
        await self.send(message, secret="")
        await self.send(transmission("bob@example.net"))
        (_, again, other) = (each[0] for each in self.program.requests)
        self.assertEqual(again["webhook-id"], fields["webhook-id"])
        self.assertNotEqual(other["webhook-id"], fields["webhook-id"])
        self.assertNotIn("webhook-signature", again)

    async def test_the_status_decides(self) -> None:
        """Redirections are not followed, and a long answer is not read."""
        for code, kind, all_wait in (
            (202, "delivered", False),
            (204, "delivered", False),
            (307, "delayed", False),
            (400, "failed", False),
            # What an operator has to correct, such as the secret or the URL, bounces no mail.
            (401, "delayed", False),
            (403, "delayed", False),
            (404, "delayed", False),
            (405, "delayed", False),
            (408, "delayed", False),
            (413, "failed", False),
            (422, "failed", False),
            (429, "delayed", True),
            (500, "delayed", False),
            (503, "delayed", True),
        ):
            self.program.answer = status(code, b"" if code == 204 else b"x" * 1_000_000, location=b"http://192.0.2.1/")
            outcome = await self.send()
            self.assertEqual(
                (outcome.kind.value, outcome.route_at_fault, outcome.in_doubt), (kind, all_wait, False), code
            )
            self.assertNotIn("token", outcome.reply.text)

    async def test_a_program_that_is_not_there_or_hangs_delays(self) -> None:
        """If it may have the message, the outcome is in doubt."""
        outcome = await self.send(url="http://127.0.0.1:1/mail")
        self.assertEqual((outcome.kind.value, outcome.route_at_fault, outcome.in_doubt), ("delayed", True, False))
        self.assertIn("refused", outcome.reply.text)

        def hang_up(request: Request) -> object:
            request.loseConnection()
            return NOT_DONE_YET

        self.program.answer = hang_up
        outcome = await self.send()
        self.assertEqual((outcome.kind.value, outcome.in_doubt), ("delayed", True))

        # On a loaded machine, a short time could end before the program has the message.
        self.patch(module, "_PATIENCE", 3600.0)
        asked: Deferred[None] = Deferred()

        def hang(request: Request) -> object:
            asked.callback(None)
            return NOT_DONE_YET

        self.program.answer = hang
        attempt = self.begin(transmission())
        await asked
        [waiting] = [call for call in reactor.getDelayedCalls() if call.getTime() - reactor.seconds() > 1800]
        waiting.reset(0)
        [outcome] = await attempt
        self.assertEqual((outcome.kind.value, outcome.in_doubt), ("delayed", True))
        self.assertIn("it did not answer within 3600 s", outcome.reply.text)

    async def test_a_message_that_cannot_be_read_is_not_sent(self) -> None:
        for error, reply, hold in ((StoreDamaged("x"), MESSAGE_DAMAGED, True), (StoreError("x"), LOCAL_ERROR, False)):
            for good_reads in (0, 1):
                outcome = await self.send(transmission(pieces=failing(error, good_reads)))
                self.assertEqual((outcome.reply, outcome.hold, outcome.kind.value), (reply, hold, "delayed"))
        self.assertEqual(self.program.requests, [])

    async def test_a_message_whose_lease_is_uncertain_is_not_sent(self) -> None:
        outcome = await self.send(replace(transmission(), may_end=lambda: False))
        self.assertEqual((outcome.reply, outcome.cut_short), (LEASE_UNCERTAIN, True))
        self.assertEqual(self.program.requests, [])

    async def test_what_is_cancelled_or_stopped_ends(self) -> None:
        asked: Deferred[None] = Deferred()

        def hang(request: Request) -> object:
            asked.callback(None)
            return NOT_DONE_YET

        self.program.answer = hang
        attempt = self.begin(transmission())
        await asked
        attempt.cancel()
        await self.assertFailure(attempt, CancelledError)

        asked = Deferred()
        attempt = self.begin(transmission())
        await asked
        self.relay.shut_down(0.1)
        [outcome] = await attempt
        self.assertEqual((outcome.reply, outcome.in_doubt), (BROKEN_OFF, True))
        self.assertEqual((await self.send()).reply, BROKEN_OFF)


def failing(error: Exception, good_reads: int) -> Callable[[], AsyncIterator[bytes]]:
    """A message that cannot be read after it was read so many times."""
    reads: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        reads.append(1)
        yield BODY
        if len(reads) > good_reads:
            raise error

    return pieces


class ValueTests(SynchronousTestCase):
    def test_urls(self) -> None:
        for url in (
            "https://app.example/mail?x=1",
            "https://app.example:8443",
            "http://127.0.0.1:80/",
            "http://[::1]/",
        ):
            self.assertEqual(read_url(url), url)
        for url in (
            "http://app.example/",
            "https://me:secret@app.example/",
            "https:///mail",
            "https://app.example:x/",
            "https://app.example/a b",
            "https://app.example/\r\nX: y",
            "https://app.example/#part",
            "ftp://app.example/",
        ):
            self.assertIsNone(read_url(url), url)

    def test_the_example_of_standard_webhooks(self) -> None:
        """The example of its specification."""
        signature = Signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330)
        signature.update(b'{"test": 2432232314}')
        self.assertEqual(signature.header(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")

    def test_the_secret_and_the_query_are_not_shown(self) -> None:
        webhook = Webhook("https://app.example/mail?token=1", "secret")
        self.assertEqual(str(webhook), "https://app.example/mail")
        self.assertNotIn("secret", repr(webhook))
