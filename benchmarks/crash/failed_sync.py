"""The smallest case of a sync that failed: what is acknowledged after it must survive a power cut.

    python -m benchmarks.crash.failed_sync            # the disk is gone for three seconds, the daemon lives on
    python -m benchmarks.crash.failed_sync --restart  # syncs fail, and the daemon is killed and started again

1. A message comes while syncs fail. Reads fail too, so that readers lose their connection to the store. On Linux the
   pages of that message are clean now: they are read back from memory, and no later sync writes them.
2. The disk works again. SQLite finds the frames of step 1 in the WAL and takes them for committed.
3. Another message is answered 250. Its frames stand behind those of step 1, and are synced.
4. The power fails before the WAL is checkpointed.

The exit status is 1 if a message is gone that was answered 250.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.disk import Disk
from benchmarks.crash.node import Node, Ports, address
from benchmarks.crash.replay import Manner, Replay, events
from benchmarks.crash.store_check import number_of, opened
from benchmarks.crash.texts import make_text


def send(node: Node, name: str) -> str:
    """Send a message; returns the reply."""
    with Smtp(node) as smtp:
        return smtp.send("x@elsewhere.test", [address("u0")], make_text(name, 500, random.Random(name))).decode()


def login(node: Node) -> None:
    """Log in, which reads the store."""
    with contextlib.suppress(Gone, Refused), Pop3(node) as pop3:
        pop3.login(address("u0"))
        pop3.demand("QUIT")


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restart", action="store_true", help="kill the daemon while syncs fail")
    Ports.option(parser)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="failed-sync-") as temporary:
        folder = Path(temporary)
        state = folder / "state"
        state.mkdir(mode=0o700)
        disk = Disk(folder, state)
        disk.set(record=1)
        node = Node(
            folder / "node",
            Ports(chosen.base_port),
            {"outbound": {"enabled": False}},
            state=state,
            environment=disk.environment,
        )
        node.start()
        node.add_users(["u0"])
        print("before:         ", first := send(node, "first"))
        heard: list[str] = []
        if chosen.restart:
            disk.set(suffix="-wal", sync_errno=errno.EIO, sync_count=-1)
            heard.append(send(node, "second"))
            disk.freeze()
            node.kill()
            disk.heal()
            disk.thaw()
            node.start()
        else:
            # The commit waits before its sync; meanwhile readers fail; then the sync fails.
            disk.set(
                suffix="", sync_errno=errno.EIO, sync_count=-1, read_errno=errno.EIO, read_count=-1, sync_delay=300
            )
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send, node, "second")
                for _ in range(20):
                    login(node)
                time.sleep(2)
                disk.heal()
            heard.append(sending.result())
        print("syncs fail:     ", heard[0])
        print("the disk works: ", third := send(node, "third"))
        disk.freeze()
        node.kill()
        replay = Replay()
        for event in events(disk.log):
            replay.play(event, random.Random(1))
        target = folder / "cut"
        target.mkdir(mode=0o700)
        for name, octets in replay.cut(random.Random(1), Manner.ALL).items():
            path = target / Path(name).relative_to(state)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        wanted = {reply.split()[-1] for reply in (first, *heard, third) if reply.startswith("250")}
        flaws = opened(
            target / "mail.sqlite",
            lambda check: [one for one in wanted if number_of(one) not in check.messages()],
        )
        print(f"after the power cut {len(flaws)} of {len(wanted)} messages that were answered 250 are gone: {flaws}")
        shutil.rmtree(target)
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
