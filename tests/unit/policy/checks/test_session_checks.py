"""Checks of a session, over a real SMTP session in memory: each verdict, and each fault of a plugin."""

from __future__ import annotations

import contextlib
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys.extension import (
    Accept,
    AddField,
    CheckFailed,
    Client,
    Defer,
    Message,
    PolicyCheck,
    Quarantine,
    Redirect,
    Refuse,
    Transaction,
)
from emailsys.extension.checks import POINTS
from emailsys.mail.address import Address
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.session_checks import Checks
from emailsys.testing.memory_peer import MemoryPeer
from tests.fakes.net.smtp_house import SMTPHouse

DEADLINE = 20.0
COMMANDS = (
    b"EHLO client.test\r\n",
    b"MAIL FROM:<carol@elsewhere.test> SIZE=44\r\n",
    b"RCPT TO:<alice@example.test>\r\n",
    b"DATA\r\n",
    b"Subject: one\r\n  two\r\nFrom: carol@elsewhere.test\r\n\r\nhello\r\n.\r\n",
)
# The replies of a session in which no check has an opinion.
GOOD = ["220", "250", "250", "250", "354", "250"]


class Says(PolicyCheck):
    """A check that says at one point what it was given, or does what it was given."""

    def __init__(self, point: str, opinion: Any) -> None:
        self.told: list[Any] = []
        self._opinion = opinion

        async def say(*arguments: Any) -> Any:
            self.told.append(arguments)
            if callable(self._opinion):
                found = self._opinion(*arguments)
                return await found if hasattr(found, "__await__") else found
            return self._opinion

        self.say = say
        self.__class__ = type("Says", (Says,), {point: lambda self, *arguments: self.say(*arguments)})


class Directory:
    """Resolves addresses of example.test to the accounts of a house, and others to other systems."""

    def __init__(self, house: SMTPHouse) -> None:
        self._house = house

    async def resolve(self, path: Address, local_ip: str = "", sender: Address | None = None) -> Sequence[Route]:
        if path.key[1] != "example.test":
            return (RemoteRoute(path),)
        found = await self._house.store.directory.find_address(*path.key)
        return () if found is None else (LocalRoute(found.account_id),)


class CheckCase(SynchronousTestCase):
    """A house with checks."""

    #: Where large messages wait.
    folder: str | None = None

    def house(self, *checks: PolicyCheck, quarantine: str = "bob@example.test") -> SMTPHouse:
        house = SMTPHouse()
        self.measured = 0.0
        calls = Calls(house.clock, DEADLINE, house.telemetry, lambda: self.measured)
        plugins = [(f"check{number}", check) for number, check in enumerate(checks)]
        asked = Checks(plugins, calls, Directory(house), house.telemetry, quarantine, self.folder)
        house.factory.service = replace(house.service, checks=asked)
        return house

    def play(self, house: SMTPHouse, commands: Sequence[bytes] = COMMANDS) -> list[str]:
        """The codes of the replies to the greeting and to each command, "" for one that waits."""
        peer = house.connect()
        return [self.last(peer), *(self.codes_after(peer, command) for command in commands if not peer.lost)]

    def codes_after(self, peer: MemoryPeer, command: bytes) -> str:
        peer.say(command)
        return self.last(peer)

    def last(self, peer: MemoryPeer) -> str:
        self.heard = peer.heard().decode("ascii")
        return self.heard.splitlines()[-1][:3] if self.heard else ""


class Verdicts(CheckCase):
    """What a session does at each verdict."""

    def test_without_an_opinion_nothing_changes(self) -> None:
        for check in (PolicyCheck(), *(Says(point, None) for point in POINTS)):
            house = self.house(check)
            self.assertEqual(self.play(house), GOOD)
            self.assertTrue(house.body().startswith(b"Subject: one\r\n  two\r\n"))
            self.assertEqual(house.telemetry.exceptions, [])

    def test_a_refusal_at_each_point(self) -> None:
        """Before the greeting it is 554 or 421 and the end; later the session goes on, and nothing is stored."""
        for verdict, code, at_greeting in ((Refuse("no", 553, "5.7.9"), "553", "554"), (Defer("no"), "450", "421")):
            for number, point in enumerate(POINTS):
                house = self.house(Says(point, verdict))
                replies = self.play(house, COMMANDS[: max(number, 1)] if number < 4 else COMMANDS)
                expected = [at_greeting] if number == 0 else [*GOOD[: number + (number == 4)], code]
                self.assertEqual(replies, expected, point)
                self.assertIn("no", self.heard)
                self.assertEqual(house.messages, [])
                (event,) = house.telemetry.of("check-verdict")
                self.assertEqual((event["check"], event["at"]), ("check0", point))

    def test_after_a_refused_hello_no_mail_is_taken_until_another_is_accepted(self) -> None:
        house = self.house(Says("hello", lambda client: Refuse("bad name") if client.helo == "bad" else None))
        again = (b"EHLO bad\r\n", COMMANDS[1], b"HELO bad\r\n", COMMANDS[1], *COMMANDS)
        self.assertEqual(self.play(house, again), ["220", "550", "550", "550", "550", *GOOD[1:]])

    def test_fields_stand_in_front_of_the_message_and_the_last_one_first(self) -> None:
        checks = [Says(point, AddField(f"X-{point}", "yes")) for point in POINTS]
        house = self.house(*checks)
        commands = [*COMMANDS[:3], b"RCPT TO:<bob@example.test>\r\n", *COMMANDS[3:]]
        self.assertEqual(self.play(house, commands)[-1], "250")
        names = [line.partition(b":")[0] for line in house.messages[-1].body.split(b"\r\n")[:6]]
        self.assertEqual(names, [*(f"X-{point}".encode() for point in reversed(POINTS)), b"Received"])
        self.assertTrue(house.messages[-1].body.endswith(b"\r\nhello\r\n"))

    def test_a_message_without_a_field_of_a_check_of_the_message_gets_those_of_other_points(self) -> None:
        house = self.house(Says("sender", [AddField("X-One", "1"), AddField("X-Two", "2"), Accept()]))
        self.assertEqual(self.play(house), GOOD)
        self.assertTrue(house.messages[-1].body.startswith(b"X-Two: 2\r\nX-One: 1\r\nReceived:"))

    def test_accept_ends_the_checks_of_its_point_only(self) -> None:
        after, later = Says("recipient", Refuse("after")), Says("message", AddField("X-Later", "yes"))
        self.assertEqual(self.play(self.house(Says("recipient", Accept()), after, later)), GOOD)
        self.assertEqual((after.told, len(later.told)), ([], 1))

    def test_quarantine_delivers_to_its_address_only_and_tells_why(self) -> None:
        for point in POINTS:
            house = self.house(Says(point, Quarantine("looks odd")))
            self.assertEqual(self.play(house), GOOD, point)
            (message,) = house.messages
            (recipient,) = message.envelope.recipients
            self.assertEqual(str(recipient.forward_path), "bob@example.test")
            self.assertEqual(recipient.routes, (LocalRoute(house.logins[b"bob@example.test"].account_id),))
            head = b"X-Quarantine-Reason: looks odd\r\nX-Quarantine-To: alice@example.test\r\nReceived:"
            self.assertTrue(message.body.startswith(head), message.body)

    def test_quarantine_without_an_address_delays_the_mail(self) -> None:
        for quarantine in ("", "nobody@example.test"):
            house = self.house(Says("message", Quarantine("odd")), quarantine=quarantine)
            self.assertEqual(self.play(house), [*GOOD[:5], "451"])
            self.assertEqual(len(house.telemetry.of("check-misconfigured")), 1)

    def test_redirect_replaces_one_recipient_or_all(self) -> None:
        for point, targets in (("recipient", ["bob@example.test"]), ("message", ["bob@example.test"])):
            house = self.house(Says(point, Redirect("bob@example.test")))
            self.assertEqual(self.play(house), GOOD)
            bob = LocalRoute(house.logins[b"bob@example.test"].account_id)
            self.assertEqual([recipient.routes for recipient in house.messages[-1].envelope.recipients], [(bob,)])
            self.assertEqual(len(targets), 1)

    def test_redirect_to_another_system_is_a_forward(self) -> None:
        """Its sender is rewritten, and the sending limits count it as mail of the recipient's."""
        house = self.house(Says("recipient", Redirect("x@other.test")))
        self.assertEqual(self.play(house), GOOD)
        (recipient,) = house.messages[-1].envelope.recipients
        (route,) = recipient.routes
        assert isinstance(route, RemoteRoute)
        self.assertEqual(
            (str(route.forward_path), route.forwarded, str(route.alias)), ("x@other.test", True, "alice@example.test")
        )

    def test_a_redirect_to_nobody_delays_the_mail(self) -> None:
        self.assertEqual(
            self.play(self.house(Says("recipient", Redirect("nobody@example.test"))), COMMANDS[:3])[-1], "451"
        )

    def test_what_a_check_is_told(self) -> None:
        seen: list[Any] = []

        async def read(transaction: Transaction, message: Message) -> None:
            seen.append((transaction, message.fields, await message.read(), [piece async for piece in message]))

        check, at_rcpt = Says("message", read), Says("recipient", None)
        house = self.house(check, at_rcpt)
        self.assertEqual(self.play(house, [*COMMANDS[:3], b"RCPT TO:<bob@example.test>\r\n", *COMMANDS[3:]])[-1], "250")
        ((transaction, fields, octets, pieces),) = seen
        self.assertIsInstance(transaction.client, Client)
        client = transaction.client
        self.assertEqual((client.ip, client.helo, client.service), ("192.0.2.7", "client.test", "smtp"))
        self.assertEqual(transaction.recipients, ("alice@example.test", "bob@example.test"))
        self.assertEqual((transaction.sender, transaction.size), ("carol@elsewhere.test", len(octets)))
        self.assertEqual([field.name for field in fields], ["Received", "Subject", "From"])
        self.assertEqual(fields[1].value, "one  two")
        self.assertEqual((octets, b"".join(pieces)), (house.messages[-1].body, octets))
        self.assertIn(transaction.queue_id, octets.decode())
        (first, _), (second, recipient) = at_rcpt.told
        self.assertEqual((first.size, first.recipients, second.recipients), (44, (), ("alice@example.test",)))
        self.assertEqual((recipient, first.instance), ("bob@example.test", transaction.instance))


class LargeMessages(CheckCase):
    """Messages that do not fit into memory are read from a file, in pieces with turns of the reactor between them."""

    def test_a_large_message_is_read_stored_and_marked(self) -> None:
        lengths: list[int] = []

        async def read(transaction: Transaction, message: Message) -> AddField:
            lengths.extend([len(piece) async for piece in message])
            return AddField("X-Octets", str(message.octets))

        house = self.house(Says("message", read))
        peer = house.connect()
        peer.say(b"".join(COMMANDS[:4]))
        line = b"x" * 76 + b"\r\n"
        body = line * 10_000
        for at in range(0, len(body), 65_536):
            peer.say(body[at : at + 65_536])
        peer.say(b".\r\n")
        for _ in range(10):
            peer.clock.advance(0)
        self.assertTrue(peer.heard().endswith(b"queued as " + house.messages[-1].queue_id.encode() + b"\r\n"))
        stored = house.messages[-1].body
        self.assertTrue(stored.startswith(b"X-Octets: %d\r\nReceived:" % sum(lengths)))
        self.assertTrue(stored.endswith(body))
        self.assertGreater(len(lengths), 2)
        self.assertLessEqual(max(lengths), 256 * 1024)

    def test_a_file_that_cannot_be_written_delays_the_message(self) -> None:
        """As a disk without room does. The session goes on."""
        self.folder = "/dev/null/no/such/folder"
        house = self.house(Says("message", None))
        peer = house.connect()
        peer.say(b"".join(COMMANDS[:4]))
        peer.say((b"x" * 76 + b"\r\n") * 5_000)
        peer.heard()
        peer.say(b".\r\nNOOP\r\n")
        heard = peer.heard()
        self.assertTrue(heard.startswith(b"452 4.3.1 ") and b"\r\n250 " in heard, heard)
        self.assertEqual(house.messages, [])

    def test_a_client_that_leaves_while_a_check_reads_leaves_nothing(self) -> None:
        waiting: Deferred[None] = Deferred()
        house = self.house(Says("message", lambda *arguments: waiting))
        peer = house.connect()
        peer.say(b"".join(COMMANDS))
        peer.lose()
        waiting.callback(None)
        self.assertEqual((house.messages, house.telemetry.exceptions), ([], []))


class Faults(CheckCase):
    """Plugins that raise, lie, are late or block: 451, their name in the log, and the session goes on."""

    def fault(self, point: str, opinion: Any) -> tuple[SMTPHouse, list[str]]:
        house = self.house(Says(point, opinion))
        return house, self.play(house, (*COMMANDS, b"NOOP\r\n"))

    def test_an_exception_is_a_451_with_one_traceback_at_each_point(self) -> None:
        def fail(kind: type[BaseException], *arguments: Any) -> Any:
            raise kind("boom")

        # Before the greeting no such reply exists: MAIL gets it.
        expected = {
            "connection": ["220", "250", "451", "503", "503"],
            "hello": ["220", "451", "451", "503", "503"],
            "sender": ["220", "250", "451", "503", "503"],
            "recipient": ["220", "250", "250", "451", "554"],
            "message": [*GOOD[:5], "451"],
        }
        for point, kind in product(POINTS, (RuntimeError, SystemExit, CancelledError)):
            house, replies = self.fault(point, partial(fail, kind))
            self.assertEqual(replies[: len(expected[point])], expected[point], point)
            self.assertEqual([str(error) for error in house.telemetry.exceptions], ["boom"], point)
            self.assertEqual((house.messages, replies[-1]), ([], "250" if point == "message" else replies[-1]))

    def test_a_check_that_cannot_answer_says_why_in_one_line(self) -> None:
        def fail(*arguments: Any) -> Any:
            raise CheckFailed("the database is away")

        house, replies = self.fault("recipient", fail)
        self.assertEqual((replies[3], house.telemetry.exceptions), ("451", []))
        (event,) = house.telemetry.of("check-failed")
        self.assertEqual((event["check"], event["at"], event["why"]), ("check0", "recipient", "the database is away"))

    def test_what_is_no_verdict_is_a_fault(self) -> None:
        class Cunning(AddField):
            """Leaves out the checks of its text."""

            @override
            def __post_init__(self) -> None:
                """Check nothing."""

        for opinion in (True, "250 ok", 5, [None], ["ok"], {"a": 1}, object(), Cunning("X", "a\r\nBcc: b")):
            house, replies = self.fault("recipient", lambda *arguments, opinion=opinion: opinion)
            self.assertEqual((replies[3], len(house.telemetry.exceptions)), ("451", 1), opinion)

    def test_a_check_that_awaits_no_deferred_is_told_so(self) -> None:
        class Other:
            def __await__(self) -> Any:
                yield "a future of another loop"

        house, replies = self.fault("recipient", lambda *arguments: Other())
        self.assertEqual(replies[3], "451")
        self.assertIn("no Deferred", str(house.telemetry.exceptions[0]))

    def test_deferreds_and_plain_values_are_answers_too(self) -> None:
        for opinion in (lambda *arguments: succeed(Refuse("no")), lambda *arguments: Refuse("no")):
            check = PolicyCheck()
            check.__class__ = type("Plain", (PolicyCheck,), {"recipient": staticmethod(opinion)})
            self.assertEqual(self.play(self.house(check), COMMANDS[:3])[-1], "550")

    def test_a_check_that_is_late_is_a_451_and_others_go_on(self) -> None:
        async def ignoring(*arguments: Any) -> None:
            for _ in range(3):
                with contextlib.suppress(Exception):
                    await Deferred[None]()

        cancelled: list[object] = []
        waits: tuple[Callable[..., Any], ...] = (lambda *arguments: Deferred(cancelled.append), ignoring)
        for wait in waits:
            house = self.house(Says("recipient", wait))
            peer, other = house.connect(), house.connect()
            peer.say(b"".join(COMMANDS[:3]))
            peer.heard()
            other.say(COMMANDS[0])
            self.assertIn(b"250 ", other.heard())
            house.clock.advance(DEADLINE - 0.1)
            self.assertEqual(peer.heard(), b"")
            house.clock.advance(0.2)
            self.assertTrue(peer.heard().startswith(b"451 4.3.0 a check of this system takes too long"))
            (event,) = house.telemetry.of("check-late")
            self.assertEqual((event["check"], house.telemetry.exceptions), ("check0", []))
            self.assertEqual(
                house.clock.getDelayedCalls(), [call for call in house.clock.getDelayedCalls() if call.active()]
            )
        self.assertEqual(len(cancelled), 1)

    def test_a_check_that_blocks_the_reactor_is_told_by_name(self) -> None:
        """Time between its steps, in which it waits, does not count."""
        waiting: Deferred[None] = Deferred()

        async def block(*arguments: Any) -> None:
            await waiting
            self.measured += 0.5

        house = self.house(Says("recipient", block))
        peer = house.connect()
        peer.say(b"".join(COMMANDS[:3]))
        self.measured += 60.0
        self.assertEqual(house.telemetry.of("check-blocked"), [])
        waiting.callback(None)
        self.assertEqual(house.telemetry.of("check-blocked"), [{"check": "check0", "seconds": 0.5}])

    def test_a_check_that_never_returns_is_told_with_its_line(self) -> None:
        """Its thread cannot tell; another one does, while the reactor is blocked."""
        told = threading.Event()
        house = self.house(PolicyCheck())
        calls = Calls(house.clock, DEADLINE, house.telemetry, time.perf_counter)
        calls.watch()
        self.addCleanup(calls.stop)
        alarm = house.telemetry.alarm

        def alarmed(name: str, /, **fields: object) -> None:
            alarm(name, **fields)
            told.set()

        house.telemetry.alarm = alarmed  # type: ignore[method-assign]  # tells this thread

        def stuck() -> bool:
            return told.wait(60)

        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(calls.call("lists", stuck))))
        (event,) = house.telemetry.of("check-stuck")
        self.assertEqual(event["check"], "lists")
        self.assertIn("wait", str(event["function"]))
