"""Files of the store that vanish, change or are cut short."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.crash.clients import Gone, Pop3, Refused
from benchmarks.crash.faults.case import Case
from benchmarks.crash.ledger import Ledger, Sent, State
from benchmarks.crash.load import Mix, look
from benchmarks.crash.node import Node, Ports, address, hasty
from tests.live.programs.daemon import Failed

# Seconds after a removal within which a reply may be to an earlier commit.
GRACE: Final = 0.5
DATABASE: Final = "mail.sqlite"
BESIDE: Final = ("mail.sqlite-wal", "mail.sqlite-shm")


def deleted_database(case: Case) -> None:
    """Another program removes the database while the daemon runs, and the daemon is started again."""
    _deleted(case, (DATABASE,), (DATABASE, *BESIDE))


def deleted_log(case: Case) -> None:
    """Another program removes the log of the store, or its index, while the daemon runs; the daemon is restarted."""
    _deleted(case, *((name,) for name in BESIDE))


def _deleted(case: Case, *removals: Sequence[str]) -> None:
    for names in removals:
        case.ledger = Ledger()
        shutil.rmtree(case.folder / "node", ignore_errors=True)
        case.start()
        gone = threading.Event()
        load = case.load(watched=gone.is_set)
        time.sleep(1.5)
        for name in names:
            (case.node.state / name).unlink(missing_ok=True)
        # What was under way may have been committed before.
        time.sleep(GRACE)
        gone.set()
        time.sleep(4)
        load.stop()
        after = [sent for sent in case.ledger.sent.values() if sent.state is State.ACCEPTED and sent.position]
        case.tell(f"{names} removed: {len(after)} more were answered 250 in 4 s, {dict(load.trouble.most_common(4))}")
        case.tell("message:", case.probe(), "| login:", case.probe_pop3())
        case.tell("log:", case.node.log_tail(2)[-300:])
        case.node.kill()
        _start_without(case, names, after)
        case.node.kill()


def _start_without(case: Case, names: Sequence[str], after: Sequence[Sent]) -> None:
    """Start on what is left. Nothing permanent may be said in place of a store that is missing."""
    try:
        case.node.start()
    except Failed as error:
        case.tell("does not start again:", str(error)[-300:])
        if after:
            case.flaw(f"{names} removed, then {len(after)} messages were answered 250, and there is no store")
        return
    try:
        found, _ = look(case.node, case.ledger, case.accounts, lambda ident: True)
        lost = case.ledger.check(found).lost
        case.tell(f"started again: {len(lost)} of {case.ledger.count(State.ACCEPTED)} accepted are lost")
        too_late = [sent.queue_id for sent in after if any(sent.ident in one for one in lost)]
        if too_late:
            case.flaw(f"{names} removed, then {len(too_late)} messages were answered 250 and are lost: {too_late[:3]}")
    except (Gone, Refused) as why:
        case.tell(f"started again: login refused ({why})")
        if "[AUTH]" in str(why):
            case.flaw(f"{names} removed: a login hears that its password is wrong")
        if after:
            case.flaw(f"{names} removed, then {len(after)} messages were answered 250, and their maildrops are lost")
    reply = case.probe()
    case.tell("message:", reply)
    if "Refused: 5" in reply:
        case.flaw(f"{names} removed: mail is refused for good: {reply}")
    case.tell("verify says", case.node.verify()[:2])


def replaced_database(case: Case) -> None:
    """Another store lies in the place of the database, as after a backup of another machine was restored."""
    case.start()
    load = case.load()
    time.sleep(1.0)
    load.stop()
    case.node.drain()
    other = Node(case.folder / "other", Ports(case.base_port), hasty())
    other.start()
    other.add_users(["somebody"])
    other.drain()
    own = case.node.state / DATABASE
    aside = own.rename(own.with_name("aside"))
    _without_logs(shutil.copy, other.state / DATABASE, own)
    try:
        case.node.start()
    except Failed as error:
        case.tell("does not start:", str(error)[-300:])
    else:
        for name, heard in (("message", case.probe()), ("login", case.probe_pop3())):
            case.tell(f"{name}: {heard}")
            if "Refused: 5" in heard or "[AUTH]" in heard:
                case.flaw(f"another store is in its place, and a {name} is refused for good")
        case.node.kill()
    _without_logs(os.replace, aside, own)
    case.node.start()
    case.check("its own store again")


def _without_logs(put: Callable[[Path, Path], object], store: Path, place: Path) -> None:
    """Put a store in its place, where a log of the one before must not be taken for its own."""
    for name in BESIDE:
        place.with_name(name).unlink(missing_ok=True)
    put(store, place)


def corrupted(case: Case) -> None:
    """A few pages of the database are overwritten, while the daemon runs and while it is stopped."""
    case.start()
    load = case.load(Mix(small=6, large=2, bdat=1, submission=2, readers=0, large_octets=(280_000, 600_000)))
    time.sleep(6)
    load.stop()
    time.sleep(3)
    path = case.node.state / "mail.sqlite"
    pages = path.stat().st_size // 16384
    case.tell(f"{case.ledger.count(State.ACCEPTED)} messages, {pages} pages")
    whole = case.folder / "whole.sqlite"
    for running in (True, False):
        if case.node.alive:
            case.node.drain()
        if whole.exists():
            shutil.copy(whole, path)
        else:
            shutil.copy(path, whole)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        if running:
            case.node.start()
        with path.open("r+b") as file:
            for page in case.chance.sample(range(pages // 3, pages), 3):
                file.seek(page * 16384)
                file.write(case.chance.randbytes(16384))
        if not running:
            try:
                case.tell(f"starts after {case.node.start():.2f} s")
            except Failed as error:
                case.tell("NOTE does not start:", str(error)[-300:])
                continue
        heard: Counter[str] = Counter()
        fetched = wrong = 0
        for account in case.accounts:
            try:
                with Pop3(case.node, timeout=30) as pop3:
                    pop3.login(address(account))
                    for number in pop3.uidl():
                        pop3.say(b"RETR %d\r\n" % number)
                        try:
                            pop3.expect()
                            _, flaw = case.ledger.judge_octets(account, pop3.body())
                            fetched += 1
                            wrong += flaw is not None
                        except Refused as why:
                            heard[str(why)[:70]] += 1
            except (Gone, Refused) as why:
                heard[f"session ended: {why}"[:70]] += 1
        when = "while it runs" if running else "while stopped"
        case.tell(f"{when}: {fetched} fetched, {wrong} of them with wrong octets, {dict(heard)}")
        case.tell("message:", case.probe(), "| another:", case.probe(), "| deleting:", case.probe_pop3(3))
        flaws = case.node.verify()
        case.tell(f"verify finds {len(flaws)}: {flaws[:2]}")
        if wrong:
            case.flaw(f"{wrong} messages were served with other octets than were accepted")
        case.tell("log:", case.node.log_tail(2)[-400:])


def truncated_wal(case: Case) -> None:
    """After SIGKILL the WAL or its index is cut, overwritten or removed."""
    for name in ("cut to half", "middle overwritten", "removed", "shm overwritten"):
        case.ledger = Ledger()
        shutil.rmtree(case.folder / "node", ignore_errors=True)
        case.start()
        load = case.load(Mix(small=4, large=1, bdat=1, submission=1, readers=0, large_octets=(280_000, 600_000)))
        time.sleep(1.5)
        case.node.kill()
        load.stop()
        wal = case.node.state / "mail.sqlite-wal"
        size = wal.stat().st_size
        if name == "cut to half":
            os.truncate(wal, size // 2)
        elif name == "removed":
            wal.unlink()
        else:
            path = wal if "middle" in name else wal.with_name("mail.sqlite-shm")
            with path.open("r+b") as file:
                file.seek(path.stat().st_size // 2)
                file.write(case.chance.randbytes(5000))
        try:
            case.tell(f"{name} ({size} octets): greeting after {case.node.start():.2f} s")
            found, _ = look(case.node, case.ledger, case.accounts, lambda ident: True)
            verdict = case.ledger.check(found)
            case.tell(
                f"  {len(verdict.lost)} of {case.ledger.count(State.ACCEPTED)} accepted are gone, "
                f"{len(verdict.torn)} torn, {len(verdict.other)} other; verify: {case.node.verify()[:2]}; "
                f"message: {case.probe()}"
            )
            if name == "shm overwritten" and verdict.flaws:
                case.flaw(verdict.flaws[:3])
        except (Failed, Gone, Refused) as why:
            case.tell(f"NOTE {name}: {why}")
        case.node.kill()
