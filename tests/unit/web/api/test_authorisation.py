"""Authorisation: a walk over the table of operations, so that no operation can be forgotten."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from emailsys.interfaces.operators import Scope
from emailsys.tokens import read_token
from emailsys.web.api.operation import Operation, Result
from emailsys.web.api.table import BASE, Asked
from tests.unit.web.api.api_case import ALL_MAIL, ALL_SYSTEM, ANN, ApiCase


class AuthorisationTests(ApiCase):
    """Each operation is called as strangers and other accounts would."""

    def call(self, operation: Operation, token: str, body: Any = None) -> Result:
        path = re.sub(r"\{\w+\}", "ann@example.test", operation.path)
        # Each from another address, because failed tokens are limited.
        self.calls = getattr(self, "calls", 0) + 1
        return self.ask(operation.method, path, body, token, ip=f"192.0.2.{self.calls}")

    def test_no_operation_answers_without_a_token(self) -> None:
        for operation in self.table.operations:
            result = self.call(operation, "")
            self.problem(401, "no-token", result)
            self.assertIn(("WWW-Authenticate", 'Bearer realm="emailsys"'), result.headers)

    def test_no_operation_accepts_a_token_without_its_scope(self) -> None:
        for operation in self.table.operations:
            others = (ALL_MAIL if operation.scope.is_of_accounts else ALL_SYSTEM) - {operation.scope}
            owner = ANN if operation.scope.is_of_accounts else None
            document = self.problem(403, "scope-missing", self.call(operation, self.token(owner, others)))
            self.assertIn(operation.scope.value, document["detail"])

    def test_no_operation_accepts_the_other_kind_of_token(self) -> None:
        """No operator reads mail, and no account operates the system, whatever their tokens permit."""
        for operation in self.table.operations:
            other = "operator" if operation.scope.is_of_accounts else "ann"
            self.problem(403, "scope-missing", self.call(operation, other))

    def test_no_operation_accepts_an_expired_token(self) -> None:
        mail, system = self.token(ANN, ALL_MAIL, 1.0), self.token(None, ALL_SYSTEM, 1.0)
        self.store.clock.advance(2)
        for operation in self.table.operations:
            self.problem(401, "invalid-token", self.call(operation, mail if operation.scope.is_of_accounts else system))

    def test_no_operation_accepts_a_removed_token(self) -> None:
        mail, system = self.tokens["ann"], self.tokens["operator"]
        self.fine("GET", "/status")
        for text in (mail, system):
            found = read_token(text)
            assert found is not None
            self.successResultOf(Deferred.fromCoroutine(self.store.tokens.remove(found[0])))
        for operation in self.table.operations:
            self.problem(401, "invalid-token", self.call(operation, mail if operation.scope.is_of_accounts else system))

    def test_wrong_tokens_are_limited_as_passwords_are_and_never_logged(self) -> None:
        wrong = self.token(ANN, ALL_MAIL)[:-4] + "0000"
        statuses = {self.ask("GET", "/status", token=wrong).status for _ in range(15)}
        self.assertEqual(statuses, {401, 429})
        result = self.ask("GET", "/status", token=wrong)
        self.problem(429, "too-many-logins", result)
        self.assertIn("Retry-After", dict(result.headers))
        self.assertIn("api-token-refused", {name for name, _ in self.events})
        logged = repr(self.events)
        self.assertNotIn(wrong, logged)
        self.assertNotIn(wrong.rpartition("_")[2], logged)

    def test_other_kinds_of_credentials_are_no_tokens(self) -> None:
        good = self.tokens["operator"]
        for value in (good, f"Basic {good}", "Bearer", "Bearer  ", f"Token {good}"):
            asked = Asked("GET", f"{BASE}/status", "", {"authorization": value}, b"", "192.0.2.77")
            self.assertEqual(self.result_of(asked).status, 401, value)
        asked = Asked("GET", f"{BASE}/status", f"access_token={good}", {}, b"", "192.0.2.78")
        self.assertEqual(self.result_of(asked).status, 401)
        asked = Asked("GET", f"{BASE}/status", "", {"authorization": f"bearer {good}"}, b"", "192.0.2.78")
        self.assertEqual(self.result_of(asked).status, 200)

    def test_every_scope_is_used(self) -> None:
        used = {operation.scope for operation in self.table.operations}
        self.assertEqual({scope.value for scope in Scope} - {scope.value for scope in used}, set())


del ApiCase
