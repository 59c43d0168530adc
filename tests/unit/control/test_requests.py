"""Requests on the control socket: dataclasses that are written as JSON and read from it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control import requests
from emailsys.control.daemon_requests import MoveHold, Reload, Restart
from emailsys.control.directory_requests import DirectoryChange, DirectoryRead
from emailsys.control.request_reading import REQUESTS, read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import Request
from emailsys.control.wire_requests import WireGet, WireList, WireWatch
from emailsys.interfaces.operators import QueueChange, QueueFilter, RowState, Scope
from emailsys.mail.address import Address
from emailsys.mail.next_hop import TLSPolicy

ANN = Address("ann", "example.test")
SECRET = [("argon2id", "hash")]
EXAMPLES: tuple[Request, ...] = (
    requests.DomainAdd("example.test", ANN),
    requests.DomainAddMany((("example.test", ANN), ("example.net", ANN))),
    requests.DomainList(),
    requests.DomainRemove("example.test"),
    requests.DomainQuota("example.test", None),
    requests.UserAdd(ANN, SECRET),
    requests.UserAddMany(((ANN, (("argon2id", "hash"),)),)),
    requests.UserGet(ANN),
    requests.UserList("example.test"),
    requests.UserRemove(ANN, purge=True),
    requests.UserPassword(ANN, SECRET),
    requests.UserEnabled(ANN, enabled=False),
    requests.UserForward(ANN, (Address("ann", "elsewhere.example"),), keeps_copy=False),
    requests.UserQuota(ANN, 1024),
    requests.UserMaySendAs(ANN, (Address("", "example.test"), Address("", "")), remove=True),
    requests.TokenAdd("0123456789ab", "0" * 64, frozenset({Scope.MAIL_READ, Scope.MAIL_SEND}), ANN, "phone", 60.0),
    requests.TokenList(ANN),
    requests.TokenRemove("0123456789ab"),
    requests.AliasSet(Address("", "example.test"), (ANN,)),
    requests.AliasAdd(Address("all", "example.test"), (ANN, ANN)),
    requests.AliasRemove(Address("all", "example.test")),
    requests.AliasList(),
    requests.RouteSet("mx.example.net", TLSPolicy.VERIFIED, username="me", password="secret"),
    requests.RouteRemove("example.net"),
    requests.RouteList(),
    requests.RouteExplain(ANN, ANN),
    DirectoryRead(),
    DirectoryChange(({"command": "user.enabled", "address": ["ann", "example.test"], "enabled": False},)),
    requests.QueueList(("0abc",), "example.net", "<>", RowState.HELD, 60.0, limit=5),
    requests.QueueSummary(),
    requests.QueueChangeRows(sender="example.net", change=QueueChange.HOLD),
    requests.Trace("<id@example.net>", 10, cursor="7"),
    requests.Verify(None, 2.0),
    WireList(5),
    WireGet("3f7541-1"),
    WireWatch(2),
    requests.WebLogin(ANN),
    requests.Status(),
    Reload(check=True),
    Restart(),
    MoveHold(30.0),
    requests.Init(adopt=True),
)


class RequestTests(SynchronousTestCase):
    """Requests as the command line writes them and the daemon reads them."""

    def test_every_request_comes_out_of_its_json_as_it_went_in(self) -> None:
        """Credentials may arrive as tuples; all else is equal."""
        self.assertEqual([type(request) for request in EXAMPLES], list(REQUESTS.values()))
        for request in EXAMPLES:
            read = read_request(json.loads(json.dumps(request.as_json())))
            self.assertIs(type(read), type(request))
            self.assertEqual(read.as_json(), request.as_json())
            for field in dataclasses.fields(request):
                value, expected = getattr(read, field.name), getattr(request, field.name)
                self.assertEqual(list(value) if field.name == "credentials" else value, expected)

    def test_the_json_on_the_socket_is_readable(self) -> None:
        """One object with the command and the fields by name, so that socat and jq can send it."""
        self.assertEqual(
            requests.UserRemove(ANN, purge=True).as_json(),
            {"command": "user.remove", "address": ["ann", "example.test"], "purge": True},
        )
        self.assertEqual(
            requests.QueueChangeRows(domain="example.net", change=QueueChange.DROP).as_json(),
            {
                "command": "queue.change",
                "queue_ids": [],
                "domain": "example.net",
                "sender": "",
                "state": None,
                "older_than": 0.0,
                "change": "drop",
            },
        )

    def test_a_field_with_a_default_may_be_left_out(self) -> None:
        """Those without one are required, and the error names them."""
        self.assertEqual(read_request({"command": "user.list"}), requests.UserList(None))
        self.assertEqual(read_request({"command": "queue.list"}), requests.QueueList())
        self.assertIn("address: found nothing; allowed: a pair", self.error({"command": "user.remove", "purge": True}))

    def test_an_unknown_or_malformed_request_gets_a_clear_error(self) -> None:
        """The error names the field, the value that was found and what is allowed."""
        trace = {"command": "trace", "query": "x", "limit": 1}
        for document, expected in (
            ("hello", "found str; allowed: a JSON object with the field command"),
            ({}, "command: found None; allowed: domain.add, "),
            ({"command": ["user.list"]}, "command: found ['user.list']; allowed: "),
            ({"command": "directory.change", "changes": [5]}, "changes: found something else; allowed: requests"),
            ({"command": "user.list", "domian": "x"}, "domian: found a field that this command does not have"),
            ({**trace, "limit": "all"}, "limit: found 'all'; allowed: a whole number from 0 to 1000"),
            ({**trace, "limit": True}, "limit: found True; allowed: "),
            ({**trace, "max_age": float("inf")}, "max_age: found inf; allowed: a number from 0"),
            ({**trace, "cursor": "x"}, "cursor: found 'x'; allowed: the cursor of an earlier answer or null"),
            ({"command": "queue.list", "state": "gone"}, "state: found 'gone'; allowed: waiting, leased, held or null"),
            ({"command": "queue.list", "queue_ids": "0abc"}, "queue_ids: found '0abc'; allowed: a list of strings"),
            ({"command": "queue.change", "change": {}}, "change: found {}; allowed: retry, hold, release, drop"),
        ):
            with self.subTest(document=document):
                self.assertTrue(self.error(document).startswith(expected), self.error(document))

    def test_an_error_never_shows_a_secret(self) -> None:
        """Errors are logged and printed."""
        route = {"command": "route.set", "host": "a", "tls": "none"}
        for document in (
            {**route, "password": ["hunter2"]},
            {"command": "user.add", "address": ["a", "b"], "credentials": [["hunter2"]]},
            {"command": "token.add", "token_id": "0123456789ab", "digest": "hunter2", "scopes": ["mail:read"]},
        ):
            message = self.error(document)
            self.assertIn("found something else", message)
            self.assertNotIn("hunter2", message)

    def test_a_request_that_is_made_is_checked_as_one_that_is_read(self) -> None:
        """The command line and the tests cannot send what the daemon would refuse."""
        for make in (
            lambda: requests.DomainAdd("x..y", ANN),
            lambda: requests.UserAdd(Address("", "example.test"), SECRET),
            lambda: requests.RouteSet("mx.example.net", TLSPolicy.NONE, port=65536),
            lambda: requests.TokenAdd("0123456789ab", "0" * 64, frozenset()),
            lambda: requests.TokenAdd("0123456789AB", "0" * 64, frozenset({Scope.WIRE_READ})),
            lambda: requests.TokenAdd("0123456789ab", "0" * 64, frozenset({Scope.WIRE_READ}), label="a\nb"),
            lambda: requests.TokenRemove("x"),
            lambda: requests.RouteSet("mx.example.net", TLSPolicy.NONE, recipient_domain="a b"),
        ):
            with self.assertRaises(MalformedRequest):
                make()

    def test_the_conditions_of_a_queue_request_are_a_filter(self) -> None:
        """A missing condition matches every row."""
        request = requests.QueueList(domain="example.net", state=RowState.WAITING)
        self.assertEqual(request.rows, QueueFilter(domain="example.net", state=RowState.WAITING))

    def error(self, document: Any) -> str:
        with self.assertRaises(MalformedRequest) as caught:
            read_request(document)
        return str(caught.exception)
