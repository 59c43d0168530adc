"""Base class of the tests of the API: all operations over a store in memory, called without a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator, FormatChecker
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, LoginSettings, QueueSettings, Settings
from emailsys.control.commands import Commands
from emailsys.control.store_access import Hooks
from emailsys.delivery.retry_schedule import forecast
from emailsys.interfaces import IChecks
from emailsys.interfaces.operators import Scope, TokenRequest
from emailsys.mail.address import Address
from emailsys.policy.access import Access, Delivery
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.token_check import TokenCheck
from emailsys.telemetry import Telemetry
from emailsys.tokens import make_token
from emailsys.web.api.application import build_api
from emailsys.web.api.document import openapi
from emailsys.web.api.live import LiveNumbers
from emailsys.web.api.operation import Result
from emailsys.web.api.problem import Problem
from emailsys.web.api.table import BASE, Asked
from emailsys.web.base.sent_once import SentOnce
from emailsys.web.base.services import Services
from emailsys.web.base.submission import Submission
from emailsys.wiretap.recorder import Recorder
from tests.fakes.store.memory_store import MemoryStore

ANN, BOB, DAVE = (Address(name, "example.test") for name in ("ann", "bob", "dave"))
ALL_MAIL = frozenset(scope for scope in Scope if scope.is_of_accounts)
ALL_SYSTEM = frozenset(scope for scope in Scope if not scope.is_of_accounts)
IP = "192.0.2.1"
RAW = "message/rfc822"


class ApiCase(SynchronousTestCase):
    """The API with the accounts ann and bob of example.test, and tokens of both and of the operators."""

    def setUp(self) -> None:
        self.store = store = MemoryStore()
        self.ann = store.seed_account("ann@example.test", {"argon2id": "secret-a"})
        self.bob = store.seed_account("bob@example.test", {"argon2id": "secret-b"})
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.telemetry = Telemetry(also=lambda name, fields: self.events.append((name, fields)))
        self.records = Recorder(10, 64 * 1024, enabled=False)

        async def in_thread(function: Any, *arguments: Any) -> Any:
            return function(*arguments)

        settings = self.settings()
        checks = self.checks()
        asked = None if checks is None else (checks, store.clock)
        submission = Submission(store.intake, settings, self.telemetry, store.now, asked)
        most = settings.smtp.max_message_size
        once = SentOnce(store.sent_keys, self.telemetry, store.now)
        self.api = build_api(
            self.services(), store.reading, submission, once, store.clock, self.telemetry, in_thread, most
        )
        self.table = self.api.table
        self.document = openapi(self.table)
        self.tokens = {
            "ann": self.token(ANN, ALL_MAIL),
            "bob": self.token(BOB, ALL_MAIL),
            "operator": self.token(None, ALL_SYSTEM),
        }

    def checks(self) -> IChecks | None:
        """Those of the submission ports."""
        return None

    def services(self) -> Services:
        store, telemetry = self.store, self.telemetry
        limits = FailedLogins(
            store.clock, LimitSettings(max_failed_logins=20), LoginSettings(), lambda ip: False, lambda pair: None
        )
        commands = Commands(store, telemetry, Hooks(status=self.status, explain=self.explain))
        access = Access(AliasRouter(store.directory, store.directory), "mx.example.test")

        async def credentials(password: str, address: Address) -> list[tuple[str, str]]:
            if len(password) < 8:
                raise ValueError("the password is too short")
            return [("argon2id", f"hash of {len(password)} characters")]

        return Services(
            ask=commands.answer,
            make_credentials=credentials,
            check_token=TokenCheck(store.tokens, store.now, limits).check,
            delivery_of=lambda account: Delivery(access, account),
            sample=self.sample,
            foretell=self.foretell,
            wire=self.records,
        )

    def settings(self) -> Settings:
        return Settings(state=Path("nowhere"), hostname="mx.example.test")

    def status(self) -> Mapping[str, Any]:
        return STATUS

    async def sample(self) -> Mapping[str, Any]:
        return dict.fromkeys(LiveNumbers.NAMES, 1)

    async def explain(self, address: Address, sender: Address | None) -> Mapping[str, Any]:
        return {
            "address": str(address),
            "sender": None if sender is None else str(sender),
            "steps": [{"depth": 0, "what": f"{address} is on another system"}],
            "next_hops": [
                {
                    "recipient": str(address),
                    "next_hop": "mx.example.net:25",
                    "why": "a route",
                    "tls": "opportunistic",
                    "login": None,
                    "problem": None,
                }
            ],
            "routes": 1,
        }

    def foretell(self, seconds: float) -> list[dict[str, Any]]:
        began = self.store.now()
        steps = forecast(QueueSettings(), began, began + timedelta(seconds=seconds), lambda: 0.5)
        return [
            {
                "at": step.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "after": round((step.at - began).total_seconds()),
                "what": step.kind.value,
            }
            for step in steps
        ]

    def token(self, address: Address | None, scopes: frozenset[Scope], lifetime: float = 0.0) -> str:
        """Add a token and return its text."""
        made = make_token()
        end = self.store.now() + timedelta(seconds=lifetime) if lifetime else None
        added = Deferred.fromCoroutine(
            self.store.tokens.add(TokenRequest(made.token_id, made.digest, address, scopes, "", end))
        )
        self.successResultOf(added)
        return made.text

    def result_of(self, asked: Asked, seconds: float = 60.0) -> Result:
        """Carry out a request, and let time pass until it is answered."""
        answering = Deferred.fromCoroutine(self.table.answer(asked))
        self.store.clock.pump([0.5] * int(seconds * 2))
        result: Result = self.successResultOf(answering)
        return result

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "operator",
        content_type: str = "application/json",
        ip: str = IP,
        **query: Any,
    ) -> Result:
        """Send a request with a token: the name of one of `tokens`, a text, or "" for none."""
        text = self.tokens.get(token, token)
        headers = {"authorization": f"Bearer {text}"} if text else {}
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if octets:
            headers["content-type"] = content_type
        pairs = [(name.rstrip("_"), value) for name, values in query.items() for value in _each(values)]
        asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in pairs)
        result = self.result_of(Asked(method, BASE + path, asked, headers, octets, ip))
        self.check_against_document(method, path, result)
        return result

    def check_against_document(self, method: str, path: str, result: Result) -> None:
        """Check that a result is one that the document promises."""
        try:
            operation, _ = self.table.find(Asked(method, BASE + path))
        except Problem:
            return
        described = self.document["paths"][operation.path][operation.method.lower()]["responses"]
        self.assertIn(str(result.status), described, (operation.name, result.content))
        contents = described[str(result.status)].get("content", {})
        if not contents:
            self.assertEqual(result.content, None)
            return
        self.assertIn(result.content_type, contents)
        schema = contents[result.content_type].get("schema")
        if schema is None:
            return
        if "$ref" in schema:
            schema = self.document["components"]["schemas"]["Problem"]
        value = json.loads(result.content) if isinstance(result.content, bytes) else result.content
        found = [
            f"{operation.name} {error.json_path}: {error.message}"
            for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(value)
        ]
        self.assertEqual(found, [])

    def fine(self, method: str, path: str, body: Any = None, token: str = "operator", **query: Any) -> Any:
        """Send a request that succeeds, and return its content."""
        result = self.ask(method, path, body, token, **query)
        self.assertLess(result.status, 300, result.content)
        return result.content

    def problem(self, status: int, kind: str, result: Result) -> dict[str, Any]:
        """Check that a result is this problem, and return it."""
        self.assertEqual((result.status, result.content_type), (status, "application/problem+json"), result.content)
        document: dict[str, Any] = json.loads(result.content)
        self.assertEqual(document["type"], f"urn:emailsys:problem:{kind}", document)
        self.assertEqual(document["status"], status)
        return document


def _each(values: Any) -> list[Any]:
    one_by_one = values if isinstance(values, list) else [values]
    return [{True: "true", False: "false"}.get(one, one) if isinstance(one, bool) else one for one in one_by_one]


STATUS = {
    "pid": 1,
    "version": "0.1.0",
    "hostname": "mx.example.test",
    "state": "/var/lib/emailsys",
    "config": None,
    "listening": {"smtp": ["127.0.0.1:25"]},
    "uptime": 1.5,
    "sessions": {"smtp": 0},
    "workers": {
        "wanted": 2,
        "services": ["pop3", "pop3s"],
        "serving": [{"pid": 8, "connections": 3, "uptime": 1.5}],
        "problem": "signal 9 ended it",
    },
    "outbound": True,
    "next_hops": [
        {"name": "mx.example.net:25", "held": 1, "active": 0, "paused_until": None, "reason": None, "alarm": None}
    ],
    "disk": {"free": 10, "required": 5},
    "store": {"location": "/var/lib/emailsys/mail.sqlite", "problem": None, "untrusted": False},
    "certificates": {"expires": "2027-01-01T00:00:00Z", "problems": []},
    "damaged": [{"queue_id": "0070stfmcw0000", "what": "piece 0 of its body is missing"}],
    "counters": {"started": 1},
}


class MailCase(ApiCase):
    """Messages from and to the accounts."""

    def send(self, body: Any, token: str = "ann", content_type: str = "application/json", **query: Any) -> Result:
        return self.ask("POST", "/messages", body, token, content_type, **query)

    def sent(self, **body: Any) -> Any:
        """Send a message to bob, or as the body says."""
        result = self.send({"to": [{"address": "bob@example.test"}], **body})
        self.assertEqual(result.status, 202, result.content)
        return result.content

    def newest(self, token: str = "bob", **query: Any) -> Any:
        items = self.fine("GET", "/messages", token=token, **query)["items"]
        return items[0] if items else None

    def put(self, octets: bytes) -> None:
        self.store.put(self.bob, octets)

    def octets_of(self, result: Result) -> bytes:
        """The octets of a result, in pieces or not."""
        if isinstance(result.content, bytes):
            return result.content

        async def read() -> bytes:
            return b"".join([piece async for piece in result.content])

        octets: bytes = self.successResultOf(Deferred.fromCoroutine(read()))
        return octets
