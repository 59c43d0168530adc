"""Disks that are full, read-only, failing or slow."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.crash.clients import Pop3
from benchmarks.crash.faults.case import Case
from benchmarks.crash.ledger import State
from benchmarks.crash.load import Mix
from benchmarks.crash.node import address, until
from emailsys.control.requests import Status
from tests.live.programs.daemon import Failed

# Seconds in which QUIT is answered on a full disk: it deletes from the reserve, or says that it cannot.
_ANSWER_WITHIN: Final = 2.0


@contextlib.contextmanager
def mounted(folder: Path, kind: str, octets: int) -> Iterator[Path]:
    """Mount a small file system: tmpfs, or ext4 in a file. Only root may."""
    point = folder / "mounted"
    point.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", str(point)], check=True)
    else:
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(octets)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        for _ in range(20):
            if subprocess.run(["umount", str(point)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.3)


def full_disk(case: Case) -> None:
    """Mail fills a small disk, then another program takes the last octet; then there is room again."""
    with mounted(case.folder, "tmpfs", 200 * 2**20) as point:
        state = point / "state"
        case.start({"smtp": {"max_message_size": "20 MiB"}}, state=state)
        load = case.load(Mix(small=2, large=4, bdat=1, submission=2, readers=0, large_octets=(900_000, 1_500_000)))
        until(lambda: load.trouble.total() > 20, 60)
        load.stop()
        free = shutil.disk_usage(point).free
        case.tell(f"full with {free / 2**20:.1f} MiB free; clients saw {dict(load.trouble.most_common(4))}")
        case.tell("message:", case.probe(), "| deleting 5:", case.probe_pop3(0))
        ballast = point / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(2**16))
        case.tell(f"{shutil.disk_usage(point).free} octets free; message:", case.probe())
        case.tell("QUIT that deletes:", case.probe_pop3(1, _ANSWER_WITHIN))
        case.tell("QUIT that deletes many:", case.probe_pop3(500, _ANSWER_WITHIN))
        case.tell("NOTE log:", case.node.log_tail(3))
        case.node.kill()
        try:
            case.tell(f"killed, greeting with no room after {case.node.start():.2f} s; message:", case.probe())
            case.tell("login:", case.probe_pop3(), "| QUIT that deletes:", case.probe_pop3(1, _ANSWER_WITHIN))
        except Failed as error:
            case.tell("NOTE does not start without room:", str(error)[-300:])
        ballast.unlink()
        if not case.node.alive:
            case.node.start()
        time.sleep(1)
        case.tell("room again; message:", case.probe())
        case.check()
        case.node.kill()


def full_disk_late(case: Case) -> None:
    """Under load another program takes the last octets, again and again."""
    with mounted(case.folder, "tmpfs", 300 * 2**20) as point:
        case.start({"smtp": {"max_message_size": "2 MiB"}}, state=point / "state")
        load = case.load()
        ballast = point / "ballast"
        for _ in range(6):
            time.sleep(1.0)
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(bytes(2**18))
            time.sleep(1.0)
            ballast.unlink()
        time.sleep(0.5)
        load.stop()
        case.tell(f"clients saw {dict(load.trouble.most_common(6))}")
        case.tell("room again; message:", case.probe())
        case.check("running")
        case.again()
        case.check("after kill -9")
        case.node.kill()


def read_only(case: Case) -> None:
    """ext4 finds an error under load and goes read-only."""
    with mounted(case.folder, "ext4", 400 * 2**20) as point:
        case.start({"smtp": {"max_message_size": "2 MiB"}}, state=point / "state")
        load = case.load()
        time.sleep(2)
        device = subprocess.run(["findmnt", "-no", "SOURCE", str(point)], capture_output=True, text=True, check=True)
        trigger = Path("/sys/fs/ext4") / Path(device.stdout.strip()).name / "trigger_fs_error"
        trigger.write_text("1")
        time.sleep(3)
        load.stop()
        flags = subprocess.run(["findmnt", "-no", "OPTIONS", str(point)], capture_output=True, text=True, check=True)
        case.tell("mounted", flags.stdout.strip()[:40], "clients saw", dict(load.trouble.most_common(5)))
        case.tell("message:", case.probe(), "| login:", case.probe_pop3(), "| deleting:", case.probe_pop3(1))
        case.node.kill()
        try:
            case.node.start()
            case.tell("NOTE it starts on a read-only disk")
        except Failed as error:
            case.tell("start on a read-only disk:", str(error).strip().splitlines()[-1][:200])
        subprocess.run(["umount", str(point)], check=True)
        subprocess.run(["fsck.ext4", "-y", str(case.folder / "image")], capture_output=True, check=False)
        subprocess.run(["mount", "-o", "loop", str(case.folder / "image"), str(point)], check=True)
        case.node.start()
        case.check("mounted anew")
        case.node.kill()


def eio(case: Case) -> None:
    """Syncs, writes and reads fail once, a few times, and always."""
    disk = case.with_disk()
    faults: dict[str, dict[str, int | str]] = {
        "one sync of the WAL": {"suffix": "-wal", "sync_errno": errno.EIO, "sync_count": 1},
        "three syncs of the WAL": {"suffix": "-wal", "sync_errno": errno.EIO, "sync_count": 3},
        "one write of the WAL": {"suffix": "-wal", "write_errno": errno.EIO, "write_count": 1},
        "half a write of the WAL": {"suffix": "-wal", "write_errno": errno.ENOSPC, "write_count": 1, "write_half": 1},
        "one sync of the database": {"suffix": ".sqlite", "sync_errno": errno.EIO, "sync_count": 1},
        "writes of the database": {"suffix": ".sqlite", "write_errno": errno.EIO, "write_count": 20},
        "reads": {"suffix": "", "read_errno": errno.EIO, "read_count": 10},
        "all syncs": {"suffix": "", "sync_errno": errno.EIO, "sync_count": -1},
        "all writes": {"suffix": "", "write_errno": errno.EIO, "write_count": -1},
    }
    for name, fields in faults.items():
        failed = disk.get("failed")
        load = case.load()
        time.sleep(0.7)
        disk.set(**fields)
        time.sleep(2.0)
        during = case.probe()
        if "all" in name:
            case.tell(f"{name}: login:", case.probe_pop3(), "| deleting:", case.probe_pop3(1))
        disk.heal()
        time.sleep(0.5)
        load.stop()
        case.tell(
            f"{name}: {disk.get('failed') - failed} calls failed; message meanwhile {during}; clients saw "
            f"{dict(load.trouble.most_common(3))}; healed: {case.probe()}"
        )
    case.check("running")
    case.again()
    case.check("after kill -9")


def _delete_all(case: Case) -> str:
    with Pop3(case.node) as pop3:
        pop3.login(address(case.accounts[0]))
        pop3.delete([*pop3.uidl()])
        return pop3.demand("QUIT").decode()


def checkpoint_beside_workers(case: Case) -> None:
    """Syncs of the database file fail while a worker has the store open; then mail goes on without a restart."""
    disk = case.with_disk({"pop3": {"workers": 2}})
    for what, change in (("daemon", case.probe), ("worker", lambda: _delete_all(case))):
        until(lambda: len(case.node.command(Status())["workers"]["serving"]) == 2, 60)
        failed = disk.get("failed")
        disk.set(suffix="mail.sqlite", sync_errno=errno.EIO, sync_count=-1)
        heard = change()
        # The store copies its log when it has been idle for two seconds.
        until(lambda failed=failed: disk.get("failed") > failed, 60)  # type: ignore[misc]
        during = case.probe()
        disk.heal()
        after = case.probe()
        case.tell(f"{what}: {heard}; meanwhile: {during}; afterwards: {after}; login: {case.probe_pop3()}")
        if "250" not in after:
            case.flaw(f"a checkpoint of the {what} failed, and mail is refused although the disk is well: {after}")
            return
    case.check("running")
    case.again()
    case.check("after kill -9")


def slow_sync(case: Case) -> None:
    """Each sync takes two seconds."""
    disk = case.with_disk()
    disk.set(sync_delay=2000)
    load = case.load(Mix(small=20, large=2, bdat=2, submission=4, readers=2, large_octets=(280_000, 600_000)))
    replies = []
    began = time.monotonic()
    while time.monotonic() < began + 25:
        replies.append((case.probe(), case.probe_pop3()))
    load.stop()
    for message, login in replies[:6]:
        case.tell("message", message, "| login", login)
    accepted = case.ledger.count(State.ACCEPTED)
    case.tell(f"{accepted} accepted in 25 s, {dict(load.trouble.most_common(4))}; {case.node.size()}")
    began = time.monotonic()
    case.tell(f"SIGTERM ended it in {case.node.drain():.1f} s")
    disk.heal()
    case.node.start()
    case.check()
