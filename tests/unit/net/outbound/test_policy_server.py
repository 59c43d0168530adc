"""Check by a policy server: its connections, each action, and servers that lie, die or stall."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from emailsys.extension import (
    Accept,
    AddField,
    CheckContext,
    Client,
    Defer,
    Quarantine,
    Redirect,
    Refuse,
    Transaction,
)
from emailsys.net.outbound.policy_server import PolicyServer, PolicyServerError

CLIENT = Client("s1", "smtp", "192.0.2.7", "192.0.2.1", "client.test", "TLSv1.3 AES")
TRANSACTION = Transaction(CLIENT, "carol@elsewhere.test", ("bob@example.test",), 44, "s1.1")


@implementer(IStreamClientEndpoint)
class Server:
    """A policy server in memory: `asked` has its connections with what each was sent."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, StringTransport]] = []
        self.refuses = False

    def connect(self, factory: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        if self.refuses:
            answer.errback(ConnectionRefusedError())
            return answer
        protocol, transport = factory.buildProtocol(None), StringTransport()
        transport.abortConnection = lambda: protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[method-assign]
        protocol.makeConnection(transport)
        self.asked.append((protocol, transport))
        answer.callback(protocol)
        return answer


class PolicyServers(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.check = PolicyServer(CheckContext("postfix", "", "mx.test", Clock()), self.server)

    def ask(self, transaction: Transaction = TRANSACTION) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.check.recipient(transaction, "alice@example.test"))

    def say(self, octets: bytes, number: int = -1) -> None:
        self.server.asked[number][0].dataReceived(octets)

    def test_the_request_has_what_servers_look_at(self) -> None:
        _ = self.ask()
        sent = self.server.asked[0][1].value()
        self.assertTrue(sent.startswith(b"request=smtpd_access_policy\nprotocol_state=RCPT\n"))
        self.assertTrue(sent.endswith(b"\n\n"))
        for line in (
            b"client_address=192.0.2.7",
            b"client_name=unknown",
            b"helo_name=client.test",
            b"sender=carol@elsewhere.test",
            b"recipient=alice@example.test",
            b"instance=s1.1",
            b"size=44",
            b"sasl_username=",
        ):
            self.assertIn(line, sent.split(b"\n"))

    def test_each_action(self) -> None:
        for action, verdict in (
            (b"DUNNO", None),
            (b"dunno", None),
            (b"WARN odd", None),
            (b"DEFER_IF_REJECT the list of good clients is away", None),
            (b"OK", Accept()),
            (b"REJECT", Refuse("access denied", 554)),
            (b"REJECT no spam", Refuse("no spam", 554)),
            (b"REJECT 5.7.9 no spam", Refuse("no spam", 554, "5.7.9")),
            (b"550 5.1.0 gone", Refuse("gone", 550, "5.1.0")),
            (b"421 busy", Defer("busy", 421)),
            (b"DEFER_IF_PERMIT Greylisted", Defer("Greylisted")),
            (b"DEFER 4.2.0 later", Defer("later", 450, "4.2.0")),
            (b"PREPEND X-Greylist: delayed 300 seconds", AddField("X-Greylist", "delayed 300 seconds")),
            (b"HOLD odd", Quarantine("odd")),
            (b"REDIRECT bob@example.test", Redirect("bob@example.test")),
        ):
            asked = self.ask()
            self.say(b"action=" + action + b"\n\n")
            self.assertEqual(self.successResultOf(asked), verdict, action)
        self.assertEqual(len(self.server.asked), 1, "one connection serves all requests")

    def test_a_server_that_lies(self) -> None:
        """No action that cannot be carried out lets mail pass, and after a broken answer the connection is not used."""
        for action in (
            b"DISCARD",
            b"FILTER smtp:x",
            b"250 ok",
            b"BCC a@b.test",
            b"PREPEND no colon",
            b"PREPEND X: \xc3\xa4",
            b"PREPEND : x",
            b"REDIRECT nobody",
            b"450 5.1.1 both",
            b"x" * 8000,
        ):
            asked = self.ask()
            self.say(b"action=" + action + b"\n\n")
            self.failureResultOf(asked, PolicyServerError)
        for octets in (b"action=OK\n\naction=OK\n\n", b"HTTP/1.1 400\r\n\r\n\n\n", b"x" * 10_000, b"\n"):
            count = len(self.server.asked)
            asked = self.ask()
            self.assertLessEqual(len(self.server.asked), count + 1)
            self.say(octets)
            self.failureResultOf(asked, PolicyServerError)
            asked = self.ask()
            self.assertGreater(len(self.server.asked), count)
            self.say(b"action=OK\n\n")
            self.assertEqual(self.successResultOf(asked), Accept())

    def test_a_server_that_speaks_unasked_is_not_believed_later(self) -> None:
        asked = self.ask()
        self.say(b"action=DUNNO\n\n")
        self.successResultOf(asked)
        self.say(b"action=OK\n\n")
        asked = self.ask()
        self.assertEqual(len(self.server.asked), 2)
        self.say(b"action=REJECT\n\n")
        self.assertIsInstance(self.successResultOf(asked), Refuse)

    def test_a_server_that_dies(self) -> None:
        """A closed idle connection is no fault: the request goes out again. On a new one it is."""
        asked = self.ask()
        self.say(b"action=DUNNO\n\n")
        self.successResultOf(asked)
        asked = self.ask()
        self.server.asked[0][0].connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.server.asked), 2)
        self.say(b"action=OK\n\n")
        self.assertEqual(self.successResultOf(asked), Accept())
        asked = self.ask()
        self.say(b"action=OK\n")
        self.server.asked[1][0].connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asked, PolicyServerError)
        asked = self.ask()
        self.server.asked[2][0].connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asked, PolicyServerError)
        self.server.refuses = True
        self.failureResultOf(self.ask(), PolicyServerError)

    def test_a_server_that_stalls(self) -> None:
        """The deadline cancels the request. Its late answer reaches nobody, and those that wait for a turn get one."""
        stalled = [self.ask() for _ in range(60)]
        self.assertEqual(len(self.server.asked), 50)
        for asked in stalled[:1] + stalled[59:]:
            asked.cancel()
            self.failureResultOf(asked)
        self.assertEqual(len(self.server.asked), 51)
        self.assertTrue(self.server.asked[0][0]._is_lost)
        for number in range(1, 50):
            self.say(b"action=OK\n\n", number)
            self.assertEqual(self.successResultOf(stalled[number]), Accept())
        self.assertNoResult(stalled[50])
        self.say(b"action=OK\n\n", 50)
        for asked in stalled[50:59]:
            while not asked.called:
                busy = next(number for number, (protocol, _) in enumerate(self.server.asked) if protocol._asked)
                self.say(b"action=OK\n\n", busy)
            self.assertEqual(self.successResultOf(asked), Accept())
        self.assertEqual(self.check._count, 0)
        self.successResultOf(Deferred.fromCoroutine(self.check.stop()))
        self.assertEqual(self.check._open, set())

    def test_clients_of_trusted_networks_are_not_checked(self) -> None:
        trusted = Transaction(Client("s", "smtp", "192.0.2.7", is_trusted=True), "")
        self.assertIsNone(self.successResultOf(self.ask(trusted)))
        self.assertEqual(self.server.asked, [])

    def test_the_argument_names_a_server(self) -> None:
        for argument in ("inet:127.0.0.1:10023", "inet:[::1]:1", "inet:policy.test:10023", "unix:/run/policy"):
            PolicyServer(CheckContext("postfix", argument, "mx.test", Clock()))
        for argument in (
            "",
            "127.0.0.1:10023",
            "inet:127.0.0.1",
            "inet::1",
            "inet:a:0",
            "inet:a:65536",
            "unix:p",
            "tcp:a:1",
        ):
            self.assertRaises(ValueError, PolicyServer, CheckContext("postfix", argument, "mx.test", Clock()))
