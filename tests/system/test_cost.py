"""What the server does for one message or session, in steps of Python: a change that makes it dearer fails.

Steps are the bytecode instructions that run in modules of emailsys. They depend on no clock and on no other program.
Each Python compiles to other instructions, so the figures are ratios to a piece of code that does not change.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from sqlalchemy import Engine, event
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

import emailsys
from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import Settlement
from emailsys.mail.address import Address
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import MemoryPeer
from tests.contract.engines import SQLiteCase
from tests.contract.mail import MailCase, envelope, local, remote
from tests.fakes.net.pop3_house import LOGIN, POP3House
from tests.fakes.net.smtp_house import SMTPHouse

_PACKAGE: Final = str(Path(emailsys.__file__).parent)
# The peers in memory are no part of the server.
_TESTING: Final = str(Path(emailsys.__file__).parent / "testing")
_BODY: Final = b"Subject: cost\r\n\r\n" + (b"x" * 70 + b"\r\n") * 56 + b".\r\n"
_ENVELOPE: Final = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
_OWN: Final = b"From: alice@example.test\r\n" + _BODY
_OWN_ENVELOPE: Final = b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
_PLAIN: Final = b"AUTH PLAIN " + base64.b64encode(b"\0alice@example.test\0secret") + b"\r\n"
#: Each costs as much as so many rounds of `calibration`; Python 3.11 to 3.13 differ by three hundredths. What makes it
#: dearer on purpose raises its figure, what makes it much cheaper lowers it.
FIGURES: Final = {
    "receive, a connection each": 245,
    "receive, the next message": 124,
    "submit, after a login": 292,
    "RETR": 30,
    "POP3 session with 1,000 messages": 173,
}
_TOLERANCE: Final = 1.15
_OUTDATED: Final = 1.5


class Steps:
    """Counts the instructions of modules whose file names begin with a path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.count = 0

    def of(self, act: Callable[[], object]) -> int:
        """Return how many instructions this takes."""
        self.count = 0
        if sys.version_info >= (3, 12):
            self._monitored(act)
        else:
            self._traced(act)
        return self.count

    def _is_counted(self, name: str) -> bool:
        return name.startswith(self._path) and not name.startswith(_TESTING)

    def _monitored(self, act: Callable[[], object]) -> None:
        # Python 3.11 does not have it, and cannot trace instructions in later versions' way.
        monitoring: Any = vars(sys)["monitoring"]
        tool = monitoring.PROFILER_ID
        kind = monitoring.events.INSTRUCTION
        monitoring.use_tool_id(tool, "cost")
        monitoring.register_callback(tool, kind, self._instruction)
        monitoring.set_events(tool, kind)
        try:
            act()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, kind, None)
            monitoring.free_tool_id(tool)

    def _instruction(self, code: CodeType, offset: int) -> None:
        self.count += self._is_counted(code.co_filename)

    def _traced(self, act: Callable[[], object]) -> None:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            act()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self._is_counted(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.count += event == "opcode"
        return self._step


def calibration() -> int:
    """Calls, attributes, conditions and arithmetic, as in the server; never to be changed."""
    found: dict[bytes, int] = {}
    for number in range(100):
        key = b"%d" % (number % 7)
        found[key] = found.get(key, 0) + number
        if key.startswith(b"3") and number > 50:
            found[key] -= len(key)
    return sum(value for value in found.values())


class CostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.steps = Steps(_PACKAGE)
        self.unit = Steps(__file__).of(calibration) / 100

    def cost(self, act: Callable[[], object]) -> float:
        """Return the cost of the second time: the first one fills caches."""
        act()
        return self.steps.of(act) / self.unit

    def test_what_each_message_and_session_costs(self) -> None:
        smtp, pop3 = SMTPHouse(), POP3House()
        submission = SMTPHouse(kind=Kind.SUBMISSION, settings=SMTPSettings(plaintext_auth_on_loopback=True))
        for _ in range(1000 - 3):
            pop3.store.put(pop3.alice, _BODY[:-3])
        open_smtp, open_pop3 = smtp.connect(), pop3.login()
        open_smtp.say(b"EHLO client.example\r\n")

        def one_connection() -> None:
            peer = smtp.connect()
            for part in (b"EHLO client.example\r\n", _ENVELOPE, _BODY, b"QUIT\r\n"):
                peer.say(part)

        def next_message() -> None:
            open_smtp.say(_ENVELOPE)
            open_smtp.say(_BODY)
            self.assertIn(b"\r\n250 2.0.0 ", open_smtp.heard())

        def submit() -> None:
            peer = submission.connect(tls=True)
            for part in (b"EHLO client.example\r\n", _PLAIN, _OWN_ENVELOPE, _OWN):
                peer.say(part)
            self.assertIn(b"\r\n250 2.0.0 ", peer.heard())
            peer.say(b"QUIT\r\n")

        def session() -> None:
            peer = pop3.connect()
            peer.say(LOGIN + b"STAT\r\nLIST\r\nUIDL\r\nQUIT\r\n")
            heard = peer.heard()
            while not peer.lost:
                # Long lists are sent in slices.
                pop3.clock.advance(0)
                heard += peer.heard()
            self.assertTrue(heard.endswith(b"\r\n+OK bye, 0 messages removed\r\n"))
            self.assertEqual(heard.count(b"\r\n"), 2 * 1001 + 7)

        def retrieve() -> None:
            open_pop3.say(b"RETR 500\r\n")
            self.assertTrue(open_pop3.heard().endswith(b"\r\n.\r\n"))

        found = {
            "receive, a connection each": self.cost(one_connection),
            "receive, the next message": self.cost(next_message),
            "submit, after a login": self.cost(submit),
            "RETR": self.cost(retrieve),
        }
        open_pop3.say(b"QUIT\r\n")
        found["POP3 session with 1,000 messages"] = self.cost(session)
        for name, figure in FIGURES.items():
            self.assertLess(found[name], figure * _TOLERANCE, f"{name} has become dearer: {found}")
            self.assertGreater(found[name] * _OUTDATED, figure, f"{name} is cheaper: lower its figure; {found}")

    def test_what_does_not_grow_with_the_maildrop_or_with_open_connections(self) -> None:
        smtp, pop3 = SMTPHouse(), POP3House()
        costs: dict[str, list[float]] = {"RETR": [], "receive": [], "LIST": []}
        for messages, connections in ((100, 10), (2000, 200)):
            while len(pop3.bodies()) < messages:
                pop3.store.put(pop3.alice, b"Subject: short\r\n\r\ntext\r\n")
            reader, sender = pop3.login(), smtp.connect()
            sender.say(b"EHLO client.example\r\n")
            held = [smtp.connect() for _ in range(connections)]

            def retrieve(reader: MemoryPeer = reader) -> None:
                reader.say(b"RETR 50\r\n")
                self.assertTrue(reader.heard().endswith(b"\r\n.\r\n"))

            def listing(reader: MemoryPeer = reader, messages: int = messages) -> None:
                reader.say(b"LIST\r\n")
                heard = reader.heard()
                while not heard.endswith(b"\r\n.\r\n"):
                    pop3.clock.advance(0)
                    heard += reader.heard()
                self.assertEqual(heard.count(b"\r\n"), messages + 2)

            def receive(sender: MemoryPeer = sender) -> None:
                sender.say(_ENVELOPE)
                sender.say(_BODY)

            costs["RETR"].append(self.cost(retrieve))
            costs["LIST"].append(self.cost(listing))
            costs["receive"].append(self.cost(receive))
            for peer in held:
                peer.lose()
            reader.say(b"QUIT\r\n")
        for name, most in {"RETR": 1.02, "receive": 1.02, "LIST": 20.0}.items():
            few, many = costs[name]
            self.assertLess(many, most * few, costs)


class StoreCostTests(MailCase, SQLiteCase):
    """The steps of SQLite's virtual machine (sqlite3_progress_handler), in all threads."""

    def setUp(self) -> Any:
        self.count = 0
        event.listen(Engine, "connect", self._watch)
        self.addCleanup(event.remove, Engine, "connect", self._watch)
        return super().setUp()

    def _watch(self, connection: Any, record: object) -> None:
        connection.set_progress_handler(self._step, 1)

    def _step(self) -> None:
        self.count += 1

    async def cost(self, doing: Callable[[], Coroutine[Any, Any, object]]) -> int:
        """Return the steps of the second time: the first one reads the schema."""
        await doing()
        before = self.count
        await doing()
        return self.count - before

    async def test_what_does_not_grow_with_maildrops_accounts_and_the_queue(self) -> None:
        """With 20 and with 500 of each. A search in an index is one step; a scan would take one for each row."""
        alice, bob = await self.users()
        costs: dict[str, list[int]] = {}
        made, names = 0, iter(range(20))
        for number in (20, 500):
            rows = [remote(Address(f"r{n}", "example.net")) for n in range(made, number)]
            work = [self.send(b"text\r\n", envelope(local(alice))) for _ in range(made, number)]
            work += [self.send(b"text\r\n", envelope(*rows[at : at + 100])) for at in range(0, len(rows), 100)]
            work += [
                self.store.accounts.add_user(Address(f"user{n}", "example.test"), [("argon2id", "secret")])
                for n in range(made, number)
            ]
            await gatherResults([Deferred.fromCoroutine(one) for one in work])
            made = number
            maildrop = await self.store.maildrops.open(alice.account_id)

            async def relay() -> None:
                (row,) = await self.store.queue.lease(1, 60)
                await self.store.queue.settle([Settlement(row)])

            async def look_up() -> None:
                # Each time another one, because accounts are kept in memory.
                found = await self.store.directory.find_address(f"user{next(names)}", "example.test")
                self.assertIsNotNone(found)

            works: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
                "receive into the large maildrop": lambda: self.send(b"text\r\n", envelope(local(alice))),
                "receive into another one": lambda: self.send(b"text\r\n", envelope(local(bob))),
                "look up an account": look_up,
                "relay a queued message": relay,
                "RETR": partial(self.fetch, maildrop, 10),
            }
            for name, doing in works.items():
                costs.setdefault(name, []).append(await self.cost(doing))
            maildrop.release()
        for name, (few, many) in costs.items():
            self.assertGreater(few, 0, name)
            self.assertLess(many, few * 1.5, costs)
