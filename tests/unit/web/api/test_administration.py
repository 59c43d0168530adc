"""Requests of the API to the commands of the control socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import DomainRemove, Request, RouteSet, UserGet, Verify
from emailsys.interfaces.operators import Actor
from emailsys.mail.address import Address, parse
from emailsys.mail.next_hop import TLSPolicy
from emailsys.web.api.administration import Administration, alias_name
from emailsys.web.api.problem import Problem

_ADA = Actor("token-1", "192.0.2.1")


class RequestTests(SynchronousTestCase):
    """Each request is a value of its own type, the same as one of the console program."""

    def setUp(self) -> None:
        self.asked: list[tuple[Request, Actor | None]] = []
        self.reply: Mapping[str, Any] = {"result": "done"}

        async def ask(request: Request, actor: Actor | None) -> Mapping[str, Any]:
            self.asked.append((request, actor))
            return self.reply

        async def make_credentials(password: str, address: Address) -> Sequence[tuple[str, str]]:
            raise ValueError("too short")

        self.administration = Administration(ask, make_credentials)

    def result(self, work: Any) -> Any:
        return self.successResultOf(ensureDeferred(work))

    def problem(self, work: Any) -> Problem:
        found = self.failureResultOf(ensureDeferred(work), Problem).value
        assert isinstance(found, Problem)
        return found

    def test_a_request_has_the_types_of_its_fields(self) -> None:
        ada = parse("ada@example.org")
        self.assertEqual(self.result(self.administration.do(UserGet, ada)), "done")
        self.result(self.administration.change(_ADA, DomainRemove, name="example.org"))
        self.result(self.administration.carry_out(_ADA, DomainRemove("example.net")))
        expected = [(UserGet(ada), None), (DomainRemove("example.org"), _ADA), (DomainRemove("example.net"), _ADA)]
        self.assertEqual(self.asked, expected)

    def test_a_value_that_is_not_allowed_is_told_and_nothing_is_asked(self) -> None:
        found = self.problem(self.administration.do(Verify, cursor="x"))
        self.assertEqual((found.status, found.kind), (422, "invalid"))
        self.assertIn("cursor: found 'x'", found.detail)
        wrong = {"host": "smart.example", "tls": "perhaps"}
        self.assertIn("/tls", self.problem(self.administration.set_route(_ADA, wrong)).detail)
        self.assertIn("too short", self.problem(self.administration.credentials("x", parse("a@b.example"))).detail)
        self.assertEqual(self.asked, [])

    def test_a_route_has_the_names_of_the_api(self) -> None:
        values = {"host": "smart.example", "tls": "verified", "to": "example.org", "username": "ada", "password": "x"}
        self.result(self.administration.set_route(_ADA, values))
        route = RouteSet("smart.example", TLSPolicy.VERIFIED, 0, "example.org", username="ada", password="x")
        self.assertEqual(self.asked, [(route, _ADA)])

    def test_what_was_not_carried_out_is_a_problem(self) -> None:
        for kind, status in (("refused", 409), ("malformed", 422), ("busy", 503), ("missing", 503), ("defect", 500)):
            self.reply = {"error": {"kind": kind, "message": "because"}}
            self.assertEqual(self.problem(self.administration.do(Verify)).status, status)

    def test_the_catch_all_of_a_domain_is_an_alias_without_a_local_part(self) -> None:
        self.assertEqual(alias_name("@example.org"), Address("", "example.org"))
        self.assertEqual(alias_name("sales@example.org"), parse("sales@example.org"))
