"""Too few descriptors, and too little memory."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.crash.clients import Gone, Refused, Smtp
from benchmarks.crash.faults.case import Case
from benchmarks.crash.load import Mix
from benchmarks.crash.node import address
from benchmarks.crash.texts import make_text
from tests.live.programs.daemon import Failed


def descriptors(case: Case) -> None:
    """A hundred descriptors, and twice as many clients."""
    if sys.platform != "linux":
        raise RuntimeError("needs Linux")
    wrapper = ("setpriv", "--bounding-set=-sys_resource")
    try:
        case.start(limits={resource.RLIMIT_NOFILE: 100}, wrapper=wrapper)
    except Failed as error:
        case.tell("NOTE does not start:", str(error)[-300:])
        return
    case.tell(
        "says",
        [line for line in case.node.log_path.read_text().splitlines() if "descriptor" in line or "limit" in line][:2],
    )
    case.tell(f"at rest {len(os.listdir(f'/proc/{case.node.pid}/fd'))} descriptors")
    idle: list[Any] = []
    heard: Counter[str] = Counter()
    for _ in range(200):
        try:
            idle.append(Smtp(case.node, timeout=3))
            heard["220"] += 1
        except (Gone, Refused) as why:
            heard[str(why)[:50]] += 1
    case.tell("200 clients saw", dict(heard), f"{len(os.listdir(f'/proc/{case.node.pid}/fd'))} descriptors")
    ticks = case.node.size().cpu
    time.sleep(5)
    case.tell(f"CPU in 5 s with clients at the door: {case.node.size().cpu - ticks:.2f} s")
    case.tell("message:", case.probe(), "| login:", case.probe_pop3())
    with contextlib.suppress(Gone, Refused, IndexError):
        reply = idle[0].send("x@elsewhere.test", [address("u0")], make_text("probe1", 300_000, case.chance))
        case.tell("a client that was let in sends", reply)
    for one in idle:
        one.close()
    time.sleep(1)
    case.tell("they have gone; message:", case.probe(), "| login:", case.probe_pop3())
    # The limit falls below what is open: nothing can be opened any more, not even a connection to the store.
    few = len(os.listdir(f"/proc/{case.node.pid}/fd"))
    resource.prlimit(case.node.pid, resource.RLIMIT_NOFILE, (few, 100))
    load = case.load()
    time.sleep(2)
    ticks = case.node.size().cpu
    time.sleep(3)
    case.tell(f"no descriptor at all: CPU in 3 s {case.node.size().cpu - ticks:.2f} s; message:", case.probe())
    resource.prlimit(case.node.pid, resource.RLIMIT_NOFILE, (100, 100))
    time.sleep(2)
    load.stop()
    case.tell("limit lifted; message:", case.probe(), "| login:", case.probe_pop3(), dict(load.trouble.most_common(4)))
    case.tell(f"{case.node.log_path.stat().st_size} octets of log, {case.node.log_count('Traceback')} tracebacks")
    case.check()


def memory(case: Case) -> None:
    """Twenty messages of 20 MiB at once, first with little address space, then in a cgroup of 130 MiB."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    case.start(limits={resource.RLIMIT_AS: 450 * 2**20})
    _many_large(case, 20, 20 * 2**20)
    case.tell(
        "RLIMIT_AS 450 MiB:", f"alive {case.node.alive}", case.node.size() if case.node.alive else case.node.log_tail(4)
    )
    if not case.node.alive:
        case.node.limits = {}
        case.node.start()
    case.check("RLIMIT_AS")
    case.node.kill()
    case.node.limits = {}
    group = Path(f"/sys/fs/cgroup/memory/crash-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(130 * 2**20))
    except OSError as error:
        case.tell("NOTE no cgroup:", error)
        return
    try:
        case.node.start()
        (group / "cgroup.procs").write_text(str(case.node.pid))
        _many_large(case, 20, 20 * 2**20)
        case.tell(
            "cgroup 130 MiB:",
            f"alive {case.node.alive}",
            case.node.size() if case.node.alive else f"status {case.node.wait()}",
        )
        if not case.node.alive:
            case.node.start()
        case.check("cgroup")
    finally:
        case.node.kill()
        time.sleep(0.5)
        group.rmdir()


def _many_large(case: Case, count: int, octets: int) -> None:
    mix = Mix(small=2, large=count, bdat=0, submission=1, readers=1, large_octets=(octets, octets))
    load = case.load(mix)
    time.sleep(12)
    load.stop()
    case.tell(f"{count} clients with {octets >> 20} MiB each: {dict(load.trouble.most_common(4))}")
