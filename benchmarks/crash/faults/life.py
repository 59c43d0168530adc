"""The life of one daemon whose disk fails somewhere: what it does, and whether what it said was true."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

from typing_extensions import override

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.disk import Disk, build
from benchmarks.crash.fork_server import ForkServer
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.load import look
from benchmarks.crash.node import PASSWORD, Node, Ports, address
from benchmarks.crash.texts import find_ident, make_text
from emailsys.control.control_socket import ControlFailed
from emailsys.control.requests import AliasList, AliasSet, DomainAdd, Request, UserAdd, Verify
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from tests.live.programs.daemon import DOMAIN, Failed, Process

# Seconds for a start that may fail.
START: Final = 60.0
# Seconds for the reply to one command.
REPLY: Final = 40.0
ALIAS: Final = Address("n", DOMAIN)


@cache
def _credentials() -> Sequence[tuple[str, str]]:
    return make_credentials(PASSWORD)


class Lane:
    """Where daemons run, one after the other: a block of ports, and the process that they are forked from."""

    def __init__(self, folder: Path, base_port: int | None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.base_port = base_port
        self.server = ForkServer(build("disk"))

    def close(self) -> None:
        """End the fork server."""
        self.server.close()


class ForkedNode(Node):
    """A daemon that is forked, not started."""

    server: ForkServer

    @override
    def spawn(self, command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> Process:
        return self.server.start(command[1:], self.folder, environment, self.log_path)


class Life:
    """One daemon from its start to its end, while calls on its state folder fail.

    @param template: the state folder that it begins with; None for an empty one.
    @param kept: queue ids of the messages in the template, by ident.
    """

    def __init__(self, lane: Lane, name: str, seed: str, template: Path | None, kept: Mapping[str, str]) -> None:
        self.folder = lane.folder / name
        self.folder.mkdir()
        self.state = self.folder / "state"
        if template is None:
            self.state.mkdir(mode=0o700)
        else:
            shutil.copytree(template, self.state)
        self.disk = Disk(self.folder, self.state)
        self.node = ForkedNode(
            self.folder / "node",
            # Hundreds of daemons, one after the other, use one block.
            Ports(lane.base_port),
            {"outbound": {"enabled": False}},
            state=self.state,
            environment=self.disk.environment,
        )
        self.node.server = lane.server
        self.node.patience = START
        self.chance = random.Random(seed)
        # Queue ids of what was answered 250, by ident.
        self.accepted = dict(kept)
        self.removed: set[str] = set()
        self.has_alias = False
        self.untrue: list[str] = []
        self.heard: Counter[str] = Counter()
        # The exit status of a start that failed.
        self.ended: int | None = None

    def fail(self, first: int, count: int, error: int) -> None:
        """Let calls fail from a certain one on."""
        self.disk.set(fail_at=first, fail_errno=error, fail_for=count)

    @property
    def calls(self) -> int:
        """The calls so far."""
        return self.disk.get("calls")

    def start(self) -> bool:
        """Start it; False where it does not. It must say why, then."""
        try:
            self.node.start()
        except Failed:
            self.ended = None if self.node.alive else self.node.wait()
            if self.ended is None:
                self.untrue.append("it neither starts nor ends")
            elif "Traceback" in self.node.log:
                self.untrue.append(f"it ends with a traceback: {self.node.log_tail(3)}")
            elif self.ended == 0:
                self.untrue.append("it does not start, and ends with 0")
            return False
        return True

    def attempt(self, step: Callable[[], str]) -> None:
        """Take one step and note its reply. A refusal for good is untrue here."""
        try:
            heard = step()
        except (Gone, Refused, Failed, ControlFailed, OSError) as why:
            heard = f"{type(why).__name__} {why}"
            if isinstance(why, Refused) and (heard.startswith("Refused 5") or "[AUTH]" in heard):
                self.untrue.append(f"refused for good: {heard}")
        self.heard[heard[:40]] += 1

    def set_up(self) -> None:
        """Add the domain and two accounts; some of them may be there already."""
        requests: list[Request] = [DomainAdd(DOMAIN, Address("u0", DOMAIN))]
        requests += [UserAdd(Address(name, DOMAIN), _credentials()) for name in ("u0", "u1")]
        for request in requests:
            with contextlib.suppress(Failed):
                self.node.command(request)

    def send(self, octets: int) -> str:
        """Send a message."""
        ident = f"call{len(self.accepted)}-{self.chance.random()}"
        with Smtp(self.node, timeout=REPLY) as smtp:
            reply = smtp.send("x@elsewhere.test", [address("u0")], make_text(ident, octets, self.chance)).decode()
        if reply.startswith("250"):
            self.accepted[ident] = reply.split()[-1]
        elif reply.startswith("5"):
            self.untrue.append(f"refused for good: {reply}")
        return reply[:14]

    def delete(self) -> str:
        """Read the first message and delete it."""
        with Pop3(self.node, timeout=REPLY) as pop3:
            pop3.login(address("u0"))
            shown = len(pop3.uidl())
            if shown < len(self.accepted):
                self.untrue.append(f"UIDL is +OK and has {shown} of {len(self.accepted)} messages")
            if not shown:
                return "empty"
            ((_, text),) = pop3.fetch([1])
            pop3.delete([1])
            ident = find_ident(text) or ""
            # In doubt until the reply.
            self.accepted.pop(ident, None)
            reply = pop3.demand("QUIT").decode()
            self.removed.add(ident)
            return reply[:20]

    def set_alias(self) -> str:
        """Set an alias, as an operator does."""
        self.node.command(AliasSet(ALIAS, (Address("u0", DOMAIN),)))
        self.has_alias = True
        return "alias set"

    def run(self) -> None:
        """What a daemon does in its life: mail in and out, a command, a reload."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        self.attempt(lambda: self.send(500))
        self.attempt(lambda: self.send(700_000))
        self.attempt(self.delete)
        self.attempt(self.set_alias)
        self.node.signal(signal.SIGHUP)
        self.attempt(lambda: self.send(500))

    def judge(self) -> list[str]:
        """The disk works again, and the daemon is started anew: every promise, and `verify`."""
        self.node.kill()
        self.disk.heal()
        flaws = list(self.untrue)
        try:
            self.node.start()
            self.set_up()
            found, _ = look(self.node, Ledger(), ["u0"], lambda ident: True)
            counts = found.counts["u0"]
            flaws += [
                f"{queue_id} was answered 250 and is lost" for i, queue_id in self.accepted.items() if not counts[i]
            ]
            flaws += [f"{ident} was deleted with +OK and is there" for ident in self.removed if counts[ident]]
            if self.has_alias and str(ALIAS) not in str(self.node.command(AliasList())):
                flaws.append("an alias was set and is lost")
            reply = self.send(500)
            if not reply.startswith("250"):
                flaws.append(f"the disk works again, and a message hears {reply}")
            flaws += self.verify()
        except (Failed, Gone, Refused) as why:
            flaws.append(f"the disk works again, and the daemon does not: {why}")
        finally:
            self.node.kill()
        return flaws

    def verify(self) -> list[str]:
        """What `emailsys verify` finds, asked by the control socket: a process for each would be the longest part."""
        flaws: list[str] = []
        cursor = None
        while True:
            part = self.node.command(Verify(cursor))
            flaws += [f"{flaw['queue_id']}: {flaw['what']}" for flaw in part["flaws"]]
            cursor = part["cursor"]
            if cursor is None:
                return flaws

    def close(self) -> None:
        """Remove its folder."""
        self.node.kill()
        shutil.rmtree(self.folder)
