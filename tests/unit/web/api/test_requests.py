"""Requests: what is malformed, hostile or too large is answered with a problem that says so."""

from __future__ import annotations

import json
from typing import Any

from emailsys.web.api.table import BASE, Asked
from tests.unit.web.api.api_case import ApiCase


class HostileRequestTests(ApiCase):
    """Nothing that a client sends is an exception of ours, and nothing of it gets into header fields."""

    def test_an_unknown_address_is_not_found(self) -> None:
        for path in ("", "/", "/nothing", "/domains/a/b", "/domains/", "//domains", "/domains//x"):
            self.problem(404, "not-found", self.ask("GET", path))
        for path in ("/api/v2/domains", "/etc/passwd", "/api/v1/../../etc/passwd", "", "/api/v1domains", "/api/v1/%ff"):
            result = self.result_of(Asked("GET", path, "", {"authorization": f"Bearer {self.tokens['operator']}"}))
            self.problem(404, "not-found", result)

    def test_a_part_of_a_path_that_climbs_is_a_value_like_any_other(self) -> None:
        for part in ("..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "a%0d%0aSet-Cookie:%20x", "%ff", "'%20OR%201=1--"):
            result = self.ask("GET", f"/users/{part}")
            self.assertIn(result.status, (404, 422))
            self.assertEqual([name for name, _ in result.headers if name not in ("Allow",)], [])

    def test_another_method_is_told_what_is_allowed(self) -> None:
        result = self.ask("POST", "/status")
        self.problem(405, "method-not-allowed", result)
        self.assertEqual(dict(result.headers)["Allow"], "GET, HEAD")
        self.problem(405, "method-not-allowed", self.ask("OPTIONS", "/domains"))
        self.assertEqual(self.ask("HEAD", "/status").status, 200)

    def test_what_is_no_json_is_malformed(self) -> None:
        deep = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        for body in (
            b"{",
            b"\xff",
            b"[1,]",
            b'{"name": NaN}',
            b'{"a":1,"a":2}',
            deep,
            b"{" * 100_000,
            b"1" * 5000,
            b'{"n": ' + b"9" * 10_000 + b"}",
            b"\x00",
            b"\xef\xbb\xbf{}",
        ):
            result = self.ask("POST", "/domains", body)
            self.problem(400, "malformed", result)

    def test_wrong_types_and_unknown_properties_are_named(self) -> None:
        good = {"name": "example.net", "postmaster": "ann@example.test"}
        cases: tuple[tuple[Any, str], ...] = (
            ([], ""),
            ("x", ""),
            (None, ""),
            ({**good, "name": 1}, "/name"),
            ({**good, "name": ["example.net"]}, "/name"),
            ({**good, "name": {"$ne": 1}}, "/name"),
            ({**good, "name": "a b"}, "/name"),
            ({**good, "name": "x" * 300}, "/name"),
            ({**good, "postmaster": "nobody"}, "/postmaster"),
            ({**good, "postmaster": "a@b\r\nc"}, "/postmaster"),
            ({**good, "postmaster": "\ud800@example.test"}, "/postmaster"),
            ({**good, "a/b~c": 1}, "/a~1b~0c"),
            ({"name": "example.net"}, ""),
        )
        for body, pointer in cases:
            document = self.problem(422, "invalid", self.ask("POST", "/domains", json.dumps(body).encode()))
            self.assertEqual(document["errors"][0]["pointer"], pointer, body)
            self.assertTrue(document["help"])

    def test_the_number_of_problems_in_an_answer_is_bounded(self) -> None:
        body = {f"x{number}": 1 for number in range(1000)}
        self.assertLess(len(self.problem(422, "invalid", self.ask("POST", "/domains", body))["errors"]), 30)

    def test_other_content_types_and_bodies_that_nobody_asked_for_are_refused(self) -> None:
        self.problem(415, "content-type", self.ask("POST", "/domains", b"a=1", content_type="text/plain"))
        form = "application/x-www-form-urlencoded"
        self.problem(415, "content-type", self.ask("POST", "/domains", b"a=1", content_type=form))
        self.problem(400, "malformed", self.ask("GET", "/status", b"{}"))

    def test_a_body_over_the_limit_is_refused_before_it_is_read(self) -> None:
        asked = Asked("POST", f"{BASE}/domains")
        limit = self.table.body_limit(asked)
        self.assertEqual(limit, 256 * 1024)
        self.assertEqual(self.table.body_limit(Asked("POST", "/elsewhere")), 0)
        self.problem(413, "too-large", self.ask("POST", "/domains", b" " * (limit + 1)))

    def test_parameters_are_checked(self) -> None:
        for query in (
            {"limit": 0},
            {"limit": 1001},
            {"limit": "x"},
            {"limit": "1e3"},
            {"limit": "-1"},
            {"limit": "9" * 50},
            {"limit": "²"},
            {"limit": [1, 2]},
            {"other": 1},
            {"cursor": "!"},
            {"cursor": "AAAA"},
            {"cursor": ""},
            {"domain": "a b"},
        ):
            self.problem(422, "invalid", self.ask("GET", "/users", **query))
        self.problem(422, "invalid", self.ask("GET", "/trace"))
        long = Asked("GET", f"{BASE}/users", "cursor=" + "a" * 10_000)
        self.problem(414, "address-too-long", self.result_of(long))
        many = Asked("GET", f"{BASE}/users", "&".join("a=1" for _ in range(500)), self.bearer())
        self.problem(400, "malformed", self.result_of(many))

    def test_a_cursor_of_another_list_is_refused(self) -> None:
        for number in range(3):
            body = {"address": f"user{number}@example.test", "password": "a password"}
            self.fine("POST", "/users", body)
        cursor = self.fine("GET", "/users", limit=2)["next"]
        self.problem(422, "invalid", self.ask("GET", "/queue", cursor=cursor))
        self.assertEqual(self.ask("GET", "/users", cursor=cursor).status, 200)

    def test_an_exception_of_ours_tells_the_caller_nothing(self) -> None:
        async def fails() -> Any:
            raise RuntimeError("secret detail")

        self.patch(self.store.accounts, "list_domains", fails)
        document = self.problem(500, "defect", self.ask("GET", "/domains"))
        self.assertNotIn("secret", json.dumps(document))
        self.flushLoggedErrors(RuntimeError)

    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens['operator']}"}


del ApiCase
