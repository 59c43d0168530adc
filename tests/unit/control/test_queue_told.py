"""Changes of operators that concern waiting mail are told to the queue at once."""

from __future__ import annotations

from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control import requests
from emailsys.control.commands import Commands
from emailsys.control.directory_requests import DirectoryChange
from emailsys.control.store_access import Hooks
from emailsys.mail.next_hop import TLSPolicy
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_store import MemoryStore

ROUTE = requests.RouteSet("smart.example", TLSPolicy.OPPORTUNISTIC)


class ToldTests(SynchronousTestCase):
    def test_a_changed_route_ends_the_pauses_of_next_hops(self) -> None:
        """Waiting mail is tried by the new route when it is due, whatever happened at the former next hop."""
        told: list[str] = []
        commands = Commands(MemoryStore(Clock()), Telemetry(), Hooks(queue_changed=lambda: told.append("changed")))
        for number, request in enumerate((ROUTE, requests.RouteRemove(), DirectoryChange((ROUTE.as_json(),))), 1):
            self.successResultOf(defer.Deferred.fromCoroutine(commands.answer(request)))
            self.assertEqual(len(told), number, request)
        for request in (requests.RouteList(), requests.Status()):
            self.successResultOf(defer.Deferred.fromCoroutine(commands.answer(request)))
        self.assertEqual(len(told), 3)
