"""Each call on the state folder that fails, at each place, once and for a while."""

from __future__ import annotations

import errno
import itertools
import queue
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.crash.faults.case import Case
from benchmarks.crash.faults.life import Lane, Life
from tests.live.programs.daemon import SERVICES

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)
# How many calls fail, one after the other.
LENGTHS: Final = (1, 20, 1_000_000)


@dataclass(frozen=True)
class Part:
    """A part of a daemon's life.

    @ivar template: the state folder that it begins with; None for an empty one.
    @ivar calls: how many it makes.
    @ivar is_start: whether the calls fail from the start of the daemon on, or only when it runs.
    """

    name: str
    template: Path | None
    calls: int
    is_start: bool = True


@dataclass(frozen=True)
class Fault:
    """Calls that fail: the first of them in its part, how many, and how."""

    part: Part
    place: int
    length: int
    error: int

    @property
    def name(self) -> str:
        """A name for its folder and its chances."""
        return f"{self.part.name.replace(' ', '-')}-{self.place}-{self.length}"


def each_call(case: Case) -> None:
    """Each call on the state folder fails, once and for a while: at a first start, a later one, and while running."""
    began = time.monotonic()
    with ExitStack() as stack:
        lanes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for number in range(case.lanes):
            base = None if case.base_port is None else case.base_port + number * len(SERVICES)
            lanes.put(stack.enter_context(closing(Lane(case.folder / f"lane-{number}", base))))
        parts, kept = _whole(case, lanes)
        faults = [fault for part in parts for fault in _faults(case, part)]

        def judge(fault: Fault) -> None:
            lane = lanes.get()
            try:
                _judge(case, lane, fault, kept)
            finally:
                lanes.put(lane)

        with ThreadPoolExecutor(case.lanes) as threads:
            for _ in threads.map(judge, faults):
                pass
    case.tell(f"{len(faults)} faults in {time.monotonic() - began:.0f} s")


def _whole(case: Case, lanes: queue.SimpleQueue[Lane]) -> tuple[list[Part], Mapping[str, str]]:
    """Count the calls of lives in which none fails. Returns the parts, and the messages that later lives begin with."""
    lane = lanes.get()
    whole = Life(lane, "template", f"{case.seed} template", None, {})
    assert whole.start(), whole.node.log_tail()
    whole.set_up()
    first = whole.calls
    for _ in range(3):
        whole.send(500)
    kept = dict(whole.accepted)
    whole.node.drain()
    again = Life(lane, "again", f"{case.seed} again", whole.state, kept)
    assert again.start(), again.node.log_tail()
    later = again.calls
    again.run()
    running = again.calls - later
    again.node.drain()
    lanes.put(lane)
    case.tell(f"{first} calls in the first start, {later} in a later one, {running} while it runs")
    return [
        Part("first start", None, first),
        Part("later start", whole.state, later),
        Part("running", whole.state, running, is_start=False),
    ], kept


def _faults(case: Case, part: Part) -> list[Fault]:
    """The faults of a part, for some places or for each."""
    places: Iterable[tuple[int, int]]
    if case.places:
        some = sorted(case.chance.sample(range(part.calls), min(part.calls, case.places)))
        places = zip(some, itertools.cycle(LENGTHS), strict=False)
    else:
        places = itertools.product(range(part.calls), LENGTHS)
    return [Fault(part, place, length, case.chance.choice(ERRORS)) for place, length in places]


def _judge(case: Case, lane: Lane, fault: Fault, kept: Mapping[str, str]) -> None:
    """Run a life with a fault, and report its flaws."""
    part = fault.part
    is_first = part.template is None
    began = time.monotonic()
    life = Life(lane, fault.name, f"{case.seed} {fault.name}", part.template, {} if is_first else kept)
    if part.is_start:
        life.fail(fault.place, fault.length, fault.error)
    started = life.start()
    if started:
        if not part.is_start:
            life.fail(life.calls + fault.place, fault.length, fault.error)
        # Without its accounts nothing is wrong with a refusal.
        if is_first:
            life.set_up()
        else:
            life.run()
    call = life.disk.text("failed_call")
    flaws = life.judge()
    outcome = "starts" if started else f"ends with {life.ended}"
    what = f"{part.name}, {fault.length} from call {fault.place} ({errno.errorcode[fault.error]}, {call!r})"
    case.tell(f"{what}: {outcome}, {dict(life.heard)}, {time.monotonic() - began:.1f} s")
    for flaw in flaws:
        case.flaw(f"{what}: {flaw}")
    life.close()
