"""Each call on the state folder that fails, at each place, once and for a while."""

from __future__ import annotations

import contextlib
import errno
import itertools
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.disk import Disk
from benchmarks.crash.faults.case import Case
from benchmarks.crash.load import look
from benchmarks.crash.node import PASSWORD, Node, Ports, address
from benchmarks.crash.texts import find_ident, make_text
from emailsys.control.control_socket import ControlFailed
from emailsys.control.requests import AliasSet, DomainAdd, Request, UserAdd
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from tests.live.programs.daemon import DOMAIN, Failed

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)
# How many calls fail, one after the other.
LENGTHS: Final = (1, 20, 1_000_000)
# Seconds for a start that may fail.
START: Final = 60.0


class Life:
    """One daemon from its start to its end, while calls on its state folder fail."""

    def __init__(self, case: Case, folder: Path, template: Path | None) -> None:
        self.case = case
        self.state = folder / "state"
        if template is None:
            self.state.mkdir(mode=0o700)
        else:
            shutil.copytree(template, self.state)
        self.disk = Disk(folder, self.state)
        self.node = Node(
            folder / "node",
            # Dozens of daemons, one after the other, use one block.
            Ports(case.base_port),
            {"outbound": {"enabled": False}},
            state=self.state,
            environment=self.disk.environment,
        )
        self.node.patience = START
        # Queue ids of what was answered 250, by ident.
        self.accepted: dict[str, str] = {}
        self.removed: set[str] = set()
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

    def set_up(self) -> str:
        """Add the domain and two accounts; some of them may be there already."""
        credentials = make_credentials(PASSWORD)
        requests: list[Request] = [DomainAdd(DOMAIN, Address("u0", DOMAIN))]
        requests += [UserAdd(Address(name, DOMAIN), credentials) for name in ("u0", "u1")]
        for request in requests:
            with contextlib.suppress(Failed):
                self.node.command(request)
        return "set up"

    def send(self, octets: int) -> str:
        """Send a message."""
        ident = f"call{len(self.accepted)}-{self.case.chance.random()}"
        with Smtp(self.node, timeout=40) as smtp:
            reply = smtp.send("x@elsewhere.test", [address("u0")], make_text(ident, octets, self.case.chance)).decode()
        if reply.startswith("250"):
            self.accepted[ident] = reply.split()[-1]
        elif reply.startswith("5"):
            self.untrue.append(f"refused for good: {reply}")
        return reply[:14]

    def delete(self) -> str:
        """Read the first message and delete it."""
        with Pop3(self.node, timeout=40) as pop3:
            pop3.login(address("u0"))
            if not pop3.uidl():
                return "empty"
            ((_, text),) = pop3.fetch([1])
            pop3.delete([1])
            ident = find_ident(text) or ""
            # In doubt until the reply.
            self.accepted.pop(ident, None)
            reply = pop3.demand("QUIT").decode()
            self.removed.add(ident)
            return reply[:20]

    def run(self) -> None:
        """What a daemon does in its life: mail in and out, a command, a reload."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        self.attempt(lambda: self.send(500))
        self.attempt(lambda: self.send(700_000))
        self.attempt(self.delete)
        self.attempt(lambda: str(self.node.command(AliasSet(Address("n", DOMAIN), (Address("u0", DOMAIN),)))))
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
            found, _ = look(self.node, self.case.ledger, ["u0"], lambda ident: True)
            counts = found.counts["u0"]
            flaws += [
                f"{queue_id} was answered 250 and is lost" for i, queue_id in self.accepted.items() if not counts[i]
            ]
            flaws += [f"{ident} was deleted with +OK and is there" for ident in self.removed if counts[ident]]
            reply = self.send(500)
            if not reply.startswith("250"):
                flaws.append(f"the disk works again, and a message hears {reply}")
            flaws += self.node.verify()
        except (Failed, Gone, Refused) as why:
            flaws.append(f"the disk works again, and the daemon does not: {why}")
        finally:
            self.node.kill()
        return flaws


def each_call(case: Case) -> None:
    """Each call on the state folder fails, once and for a while: at a first start, a later one, and while running."""
    folder = case.folder / "template"
    folder.mkdir()
    whole = Life(case, folder, None)
    assert whole.start(), whole.node.log_tail()
    whole.set_up()
    first = whole.calls
    for _ in range(3):
        whole.send(500)
    kept = dict(whole.accepted)
    whole.node.drain()
    folder = case.folder / "again"
    folder.mkdir()
    again = Life(case, folder, whole.state)
    assert again.start(), again.node.log_tail()
    later = again.calls
    again.run()
    running = again.calls - later
    again.node.drain()
    case.tell(f"{first} calls in the first start, {later} in a later one, {running} while it runs")
    for what, template, begin, calls in (
        ("first start", None, 0, first),
        ("later start", whole.state, 0, later),
        ("running", whole.state, later, running),
    ):
        for place, length in _faults(case, calls):
            _one(case, what, template, begin, place, length, kept)


def _faults(case: Case, calls: int) -> Iterable[tuple[int, int]]:
    """Return the first call that fails and how many do, for some places or for each."""
    if not case.places:
        return itertools.product(range(calls), LENGTHS)
    places = sorted(case.chance.sample(range(calls), min(calls, case.places)))
    return zip(places, itertools.cycle(LENGTHS), strict=False)


def _one(
    case: Case, what: str, template: Path | None, begin: int, place: int, length: int, kept: dict[str, str]
) -> None:
    """Fail at one place, for one while."""
    error = case.chance.choice(ERRORS)
    folder = case.folder / f"{what}-{place}"
    folder.mkdir()
    life = Life(case, folder, template)
    if template is not None:
        life.accepted.update(kept)
    if not begin:
        life.fail(place, length, error)
    started = life.start()
    if started:
        if begin:
            life.fail(life.calls + place, length, error)
        elif template is None:
            life.set_up()
        # Without its accounts nothing is wrong with a refusal.
        if template is not None:
            life.run()
    call = life.disk.text("failed_call")
    flaws = life.judge()
    outcome = "starts" if started else f"ends with {life.ended}"
    case.tell(f"{what}, {length} from call {place} ({errno.errorcode[error]}, {call!r}): {outcome}, {dict(life.heard)}")
    for flaw in flaws:
        case.flaw(f"{what}, {length} from call {place} ({errno.errorcode[error]}, {call!r}): {flaw}")
    shutil.rmtree(folder)
