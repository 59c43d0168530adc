"""The control socket: requests as lines of JSON, with accounts in memory."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import defer
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.control import control_server, requests
from emailsys.control.commands import Commands
from emailsys.control.control_server import ControlFactory, ControlListener, ControlProtocol, peer_uid
from emailsys.control.control_socket import MAX_REQUEST_OCTETS, ControlFailed, NoDaemon, ask, bind_control
from emailsys.control.requests import Request
from emailsys.control.store_access import Hooks
from emailsys.interfaces import StoreFull
from emailsys.interfaces.operators import IAccounts
from emailsys.mail.address import Address
from emailsys.platforms.users import effective_user
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_store import MemoryStore

ANN = Address("ann", "example.test")
BOB = Address("bob", "example.test")
UNBOUNDED = {"quota": None, "used": None}
NO_FORWARD = {"forward": [], "keeps_copy": True}


class Case(SynchronousTestCase):
    """A connection to the control socket of a daemon with an empty store."""

    def setUp(self) -> None:
        self.store = MemoryStore(Clock())
        self.accounts = self.store.accounts
        verifyObject(IAccounts, self.accounts)
        self.telemetry = Telemetry()
        self.commands = Commands(self.store, self.telemetry, Hooks(lambda: {"pid": 5}))

    def answer(self, request: object) -> dict[str, Any]:
        answer = self.successResultOf(defer.Deferred.fromCoroutine(self.commands.answer(request)))
        assert isinstance(answer, dict)
        return answer

    def result(self, request: Request) -> Any:
        answer = self.answer(request)
        self.assertIn("result", answer, answer)
        return answer["result"]

    def error(self, request: object) -> tuple[str, str]:
        answer = self.answer(request)
        self.assertIn("error", answer, answer)
        return answer["error"]["kind"], answer["error"]["message"]

    def with_users(self) -> None:
        self.result(requests.DomainAdd("example.test", ANN))
        for address in (ANN, BOB):
            self.result(requests.UserAdd(address, [("argon2id", "secret")]))


class CommandTests(Case):
    """Requests and their answers."""

    def test_a_domain_and_its_users_are_added_listed_and_removed(self) -> None:
        """The usual requests of a small system."""
        self.with_users()
        self.assertEqual(
            self.result(requests.DomainList()),
            [{"name": "example.test", "postmaster": "ann@example.test", "users": 2, "octets": 0, **UNBOUNDED}],
        )
        self.assertEqual(
            self.result(requests.UserList()),
            [
                {"address": "ann@example.test", "enabled": True, "messages": 0, "octets": 0, **UNBOUNDED, **NO_FORWARD},
                {"address": "bob@example.test", "enabled": True, "messages": 0, "octets": 0, **UNBOUNDED, **NO_FORWARD},
            ],
        )
        self.result(requests.UserRemove(BOB, False))
        self.assertEqual(len(self.result(requests.UserList("example.test"))), 1)

    def test_a_password_and_a_login_that_is_switched_off_reach_the_account(self) -> None:
        """Requests for a new password, and to disable and enable the login."""
        self.with_users()
        self.result(requests.UserPassword(BOB, [("argon2id", "other")]))
        self.result(requests.UserEnabled(BOB, False))
        login = self.successResultOf(defer.Deferred.fromCoroutine(self.accounts.find_login(("bob", "example.test"))))
        assert login is not None
        self.assertEqual((login.secret("argon2id"), login.account.enabled), ("other", False))

    def test_a_request_that_cannot_be_carried_out_is_refused_with_the_reason(self) -> None:
        """A domain with users is not removed."""
        self.with_users()
        kind, message = self.error(requests.DomainRemove("example.test"))
        self.assertEqual(kind, "refused")
        self.assertIn("users", message)
        self.assertEqual(self.error(requests.DomainRemove("other.test"))[0], "refused")

    def test_each_answer_tells_which_store_it_is_from_where_that_is_not_the_default(self) -> None:
        """The command prints it to stderr."""
        url = "postgresql://mail@db.example/mail"
        self.commands = Commands(self.store, self.telemetry, Hooks(store=url))
        for request in (requests.DomainList(), requests.UserList("no.test"), {"command": 7}):
            self.assertEqual(self.answer(request)["store"], url)

    def test_a_malformed_request_is_told_field_and_what_is_allowed(self) -> None:
        """No such request reaches the store."""
        good: dict[str, Any] = {"command": "user.add", "address": ["a", "b"], "credentials": [["argon2id", "x"]]}
        for change, expected in (
            ({"command": "user.drop"}, "command: found 'user.drop'; allowed: domain.add"),
            ({"command": 5}, "command: found 5"),
            ({"address": "a@b"}, "address: found 'a@b'; allowed: a pair"),
            ({"address": ["a", ""]}, "address: found"),
            ({"credentials": []}, "credentials: found something else; allowed: pairs"),
            ({"credentials": [["argon2id"]]}, "credentials: found"),
            ({"more": 1}, "more: found a field that this command does not have"),
        ):
            kind, message = self.error({**good, **change})
            self.assertEqual(kind, "malformed")
            self.assertTrue(message.startswith(expected), message)
        for name in ("", "foo bar", "-x", "a@b", "[192.0.2.1]", "x..y", "x.", "a\nb", "a" * 64, "under_score"):
            kind, message = self.error({"command": "domain.add", "name": name, "postmaster": ["a", "example.test"]})
            self.assertEqual((kind, message[:12]), ("malformed", "name: found "), name)
            self.assertIn("allowed: a domain name", message)
        self.assertIn("purge", self.error({"command": "user.remove", "address": ["a", "b"], "purge": "yes"})[1])
        self.assertIn("domain", self.error({"command": "user.list", "domain": 5})[1])
        self.assertIn("name", self.error({"command": "domain.remove"})[1])
        others: tuple[object, ...] = (None, 5, [], "text")
        for request in others:
            self.assertEqual(self.answer(request)["error"]["kind"], "malformed")

    def test_a_full_store_is_busy_and_nothing_was_changed(self) -> None:
        """The command may be tried again."""

        async def full(domain: str | None) -> None:
            raise StoreFull("the disk is full")

        self.patch(self.accounts, "list_users", full)
        kind, message = self.error(requests.UserList())
        self.assertEqual(kind, "busy")
        self.assertIn("the disk is full", message)

    def test_a_defect_is_logged_once_and_told_without_its_traceback(self) -> None:
        """The daemon logs it; the command gets one line."""

        async def broken(domain: str | None) -> None:
            raise ZeroDivisionError("deep inside")

        self.patch(self.accounts, "list_users", broken)
        kind, message = self.error(requests.UserList())
        self.assertEqual(kind, "defect")
        self.assertNotIn("deep inside", message)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_status_comes_from_the_daemon(self) -> None:
        """There is no status without a daemon."""
        self.assertEqual(self.result(requests.Status()), {"pid": 5})
        self.commands = Commands(self.store, self.telemetry)
        self.assertEqual(self.error(requests.Status())[0], "malformed")


class ProtocolTests(Case):
    """Lines of requests and answers."""

    def connect(self) -> tuple[ControlProtocol, StringTransport]:
        protocol = ControlFactory(self.commands, self.telemetry).buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def test_requests_are_answered_in_the_order_they_came(self) -> None:
        """One connection can have several requests, in pieces of any size."""
        protocol, transport = self.connect()
        lines = b'{"command":"status"}\n{"command":"domain.list"}\n'
        for octet in lines:
            protocol.dataReceived(bytes([octet]))
        protocol.dataReceived(lines)
        self.assertEqual(transport.value().splitlines(), [b'{"result":{"pid":5}}', b'{"result":[]}'] * 2)

    def test_a_line_that_is_no_json_gets_a_clear_error(self) -> None:
        """The connection stays open."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"hello\n\xff\n" + b"[" * 50_000 + b'\n{"command":"status"}\n')
        answers = [json.loads(line) for line in transport.value().splitlines()]
        self.assertEqual([answer["error"]["kind"] for answer in answers[:3]], ["malformed"] * 3)
        self.assertEqual(answers[3], {"result": {"pid": 5}})

    def test_an_endless_line_is_refused_and_the_connection_closed(self) -> None:
        """A request has a maximum size."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"x" * (MAX_REQUEST_OCTETS + 2))
        self.assertIn(b"at most", transport.value())
        self.assertTrue(transport.disconnecting)

    def test_a_peer_that_hangs_up_during_its_request_affects_no_other(self) -> None:
        """The change is made, and the answer is dropped."""
        waiting: defer.Deferred[list[Any]] = defer.Deferred()

        async def slow(domain: str | None) -> list[Any]:
            return await waiting

        self.patch(self.accounts, "list_users", slow)
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"command":"user.list","domain":null}\n{"command":"status"}\n')
        protocol.connectionLost(Failure(ConnectionError()))
        waiting.callback([])
        self.assertEqual(transport.value(), b'{"result":[]}\n')

    def test_another_user_of_the_machine_commands_nothing(self) -> None:
        """Only root and the user of the daemon may."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.assertEqual(peer_uid(ours), effective_user())
        self.patch(control_server, "peer_uid", lambda connection: 12345)
        protocol = ControlFactory(self.commands, self.telemetry).buildProtocol(None)
        transport = StringTransport()
        transport.socket = ours  # type: ignore[attr-defined]
        protocol.makeConnection(transport)
        protocol.dataReceived(b'{"command":"status"}\n')
        (answer,) = [json.loads(line) for line in transport.value().splitlines()]
        self.assertIn("user 12345 may not", answer["error"]["message"])
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.telemetry.counters["control-refused"], 1)


class FakeReactor(Clock):
    """Reactor that records readers, and adopts no connection."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []
        self.adopted = 0

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def adoptStreamConnection(self, descriptor: int, family: int, factory: object) -> None:
        self.adopted += 1


class ListenerTests(Case):
    """Accepting connections on the control socket."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.reactor = FakeReactor()
        self.socket = bind_control(self.folder)
        self.listener = ControlListener(self.socket, ControlFactory(self.commands, self.telemetry), self.reactor)
        self.addCleanup(self.listener.stop)
        self.listener.start()

    def test_a_connection_is_accepted_and_a_false_alarm_is_none(self) -> None:
        """accept() without a waiting connection does nothing."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        verifyObject(IReadDescriptor, self.listener)
        self.listener.doRead()
        self.assertEqual(self.reactor.adopted, 0)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.path.relpath(self.folder / "control.sock"))
            self.listener.doRead()
        self.assertEqual(self.reactor.adopted, 1)
        self.assertEqual(self.reactor.readers, [self.listener])

    def test_without_a_descriptor_left_it_pauses_and_does_not_spin(self) -> None:
        """The daemon accepts commands again after a second."""

        class Full:
            def accept(self) -> None:
                raise OSError(24, "Too many open files")

            def fileno(self) -> int:
                return 5

        self.patch(self.listener, "_listener", Full())
        self.listener.doRead()
        self.assertEqual(self.reactor.readers, [])
        self.reactor.advance(1.0)
        self.assertEqual(self.reactor.readers, [self.listener])
        self.listener.doRead()
        self.patch(self.listener, "_listener", self.socket)
        self.listener.connectionLost(Failure(ConnectionError()))
        self.reactor.advance(1.0)
        self.assertEqual(self.reactor.readers, [])
        self.listener.stop()

    def test_a_connection_that_took_the_last_descriptor_does_not_end_the_socket(self) -> None:
        """Its transport needs a copy. When descriptors are short, commands are what an operator needs most."""

        if sys.platform == "win32":
            raise SkipTest("needs Unix")

        def full(descriptor: int, family: int, factory: object) -> None:
            raise OSError(24, "Too many open files")

        self.patch(self.reactor, "adoptStreamConnection", full)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.path.relpath(self.folder / "control.sock"))
            self.listener.doRead()
            self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.reactor.readers, [])
        self.reactor.advance(1.0)
        self.assertEqual(self.reactor.readers, [self.listener])


class SocketTests(SynchronousTestCase):
    """The socket in the state folder, and the commands that connect to it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def serve(self, octets: bytes) -> Path:
        """Send these octets to the next connection."""
        listener = bind_control(self.folder)
        listener.setblocking(True)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, listener:
                connection.makefile("rb").readline()
                connection.sendall(octets)

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)
        return self.folder

    def test_only_the_owner_may_connect(self) -> None:
        """The mode is 0600 from the beginning. A socket left by a crash is replaced."""
        for _ in range(2):
            listener = bind_control(self.folder)
            mode = (self.folder / "control.sock").stat().st_mode
            listener.close()
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_a_state_folder_of_any_depth_has_its_socket(self) -> None:
        """The kernel limits the name of a socket to 108 octets, but not the path of a state folder."""
        self.folder = self.folder / ("d" * 100) / ("e" * 100)
        self.folder.mkdir(parents=True)
        self.assertEqual(ask(self.serve(b'{"result":1}\n'), requests.Status()), {"result": 1})

    def test_without_a_daemon_or_with_a_dead_one_ask_raises_no_daemon(self) -> None:
        """The command then opens the store."""
        with self.assertRaises(NoDaemon):
            ask(self.folder, requests.Status())
        bind_control(self.folder).close()
        with self.assertRaises(NoDaemon):
            ask(self.folder, requests.Status())

    def test_a_daemon_that_breaks_off_or_babbles_is_told(self) -> None:
        """A broken answer is an error."""
        for octets in (b"", b"nonsense\n", b"[]\n"):
            with self.assertRaises(ControlFailed):
                ask(self.serve(octets), requests.Status())

    def test_a_daemon_that_does_not_answer_is_not_waited_for_for_ever(self) -> None:
        """The command ends with an error."""
        with bind_control(self.folder), self.assertRaises(ControlFailed) as caught:
            ask(self.folder, requests.Status(), timeout=0.05)
        self.assertIn("did not answer within 0.05 seconds", str(caught.exception))
