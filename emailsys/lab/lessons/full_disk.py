"""Lesson: a full disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import Final

from emailsys.config.settings import Settings
from emailsys.lab.attackers.clients import Poured, pour
from emailsys.lab.base.lesson import Lesson, prose
from emailsys.lab.base.stage import BOB, CAROL, Stage, letter
from emailsys.lab.base.values import Result, Step
from emailsys.lab.hosts.weak import WeakBufferedDisk

_SENDER: Final = "dave@elsewhere.test"
_HOST: Final = "mx.elsewhere.test"
# Octets by which the daemon's database may grow while its write fails; lines of each message; messages.
_GROWTH: Final = 64 * 1024
_LINES: Final = 2700
_MOST: Final = 60


def needs_more_than_free(settings: Settings) -> Settings:
    """Makes this disk too full: one message may be larger than all that is free."""
    # Rounded, so that two runs have the same settings.
    free = (shutil.disk_usage(settings.state).free >> 34) + 2 << 34
    return replace(settings, smtp=replace(settings.smtp, max_message_size=free))


def _play(stage: Stage, is_protected: bool) -> Result:
    return _careful(stage) if is_protected else _careless(stage)


def _careless(stage: Stage) -> Result:
    weak = stage.open(WeakBufferedDisk())
    poured = pour(weak.port, _SENDER, BOB, letter(_SENDER, BOB, "The offer", "As discussed.").rstrip(b"\r\n"), _HOST)
    text = prose(f"""The weak server says 250 as soon as it has the message in memory. The write comes later, and
        fails: {", ".join(weak.errors)}. The sender has deleted its copy, because 250 means that it may.""")
    evidence = f"the server said {poured.final!r}, and its disk has {len(weak.stored)} messages"
    step = Step("What the sender sees", text, [poured.view.conversation()])
    return Result([step], poured.final.startswith("250") and not weak.stored, evidence)


def _careful(stage: Stage) -> Result:
    full = stage.system(needs_more_than_free)
    early = pour(full.ports["smtp"], _SENDER, BOB, letter(_SENDER, BOB, "The offer", "Soon.").rstrip(b"\r\n"), _HOST)
    promised = [early.final.startswith("250")]
    found = [len(stage.maildrop(full, BOB))]
    text = prose("""The daemon compares the free space with what the largest message needs, and says 452 before the
        message: come again later. The sender keeps the message in its queue.""")
    steps = [Step("Too little room", text, [early.view.conversation()])]
    evidence = f"the daemon said {early.final!r}"
    if failed := _failing_write(stage):
        promised += [one.final.startswith("250") for one in failed.poured]
        found.append(failed.found)
        late, again = failed.poured[-2:]
        text = prose(f"""There is room, but the write fails: the kernel lets the daemon's files grow by {
            _GROWTH // 1024
        } KiB only. The daemon learns of it before it answers, and says {late.final[:3]}. When the files may
            grow again, the sender's next attempt gets {again.final[:3]}.""")
        steps.append(Step("The write fails", text, [late.view.conversation(), again.view.conversation()]))
        evidence += f", and {late.final!r} as the write failed"
    evidence += f"; of {len(promised)} messages {sum(promised)} got 250, and the maildrop has {sum(found)}"
    return Result(steps, sum(promised) != sum(found), evidence)


@dataclass(frozen=True, slots=True)
class _Failed:
    """Messages up to the one whose write failed, and its repetition; how many are in the maildrop."""

    poured: list[Poured]
    found: int


def _failing_write(stage: Stage) -> _Failed | None:
    """Sends messages until a write fails, then the last one again. None if this system can't limit files."""
    system = stage.system()
    before = len(stage.maildrop(system, CAROL))
    large = letter(
        _SENDER, CAROL, "The plans", *["These pages are left empty, so that the message is a large one."] * _LINES
    ).rstrip(b"\r\n")
    poured: list[Poured] = []
    if not system.limit_growth(_GROWTH):
        return None
    try:
        # The log may have room from earlier mail, which it writes again.
        while len(poured) < _MOST and not (poured and not poured[-1].final.startswith("250")):
            poured.append(pour(system.ports["smtp"], _SENDER, CAROL, large, _HOST))
    finally:
        system.limit_growth(None)
    poured.append(pour(system.ports["smtp"], _SENDER, CAROL, large, _HOST))
    return _Failed(poured, len(stage.maildrop(system, CAROL)) - before)


LESSONS: Final = [
    Lesson(
        name="full-disk",
        title="A full disk",
        order=110,
        minutes=10,
        question="Was a message lost that the server had accepted?",
        without="a deliberately weak server of the lab, which says 250 before it writes",
        protection="the daemon, which looks for room first, and says 250 only after the message is on disk",
        happens="A mail server runs out of disk space, while other hosts keep sending.",
        why=prose("""With 250 the responsibility for a message passes to the server (RFC 5321 §6.1). A server that
            answers before the message is on disk promises what it may not be able to keep. It is faster until the day
            on which it matters."""),
        protects=prose("""Store first, then answer. And notice early: 452 is a refusal for now, every mail system tries
            again for days, and the mail arrives after the disk has room."""),
        real=prose("""The weak server's write really fails (on Linux, by the kernel's device /dev/full). The daemon's
            check of the free space is real, but the disk is not full: the lesson sets max_message_size so high that
            the room of this disk is too little for one message. The failing write of the daemon is real too, on Linux:
            the lesson limits the size of its files (RLIMIT_FSIZE), so the error is EFBIG and not ENOSPC. Other systems
            skip that step."""),
        rfcs=("RFC 5321 §6.1", "RFC 5321 §4.2.3", "RFC 3463 §3.4"),
        ask=(
            "Why 452 and not 552?",
            "The daemon waits for the disk before each 250. What makes it fast nevertheless? (Group commit)",
        ),
        play=_play,
    )
]
