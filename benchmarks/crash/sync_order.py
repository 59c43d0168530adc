"""Each reply leaves after the sync that keeps its promise, on every path, seen by strace.

    python -m benchmarks.crash.sync_order

One client takes one step at a time. Between the last octet of a step and its reply, something must be written to the
WAL, and an fdatasync that began after that write must have returned 0. The paths are:

* DATA to one and to several maildrops, DATA with a staged body, BDAT, submission to a remote host, an alias that leads
  to a remote host;
* QUIT with deletes, and an operator's commands;
* the relay: the queue row is settled in a synced commit after the 250 of the remote host.

Only the writer thread writes to the WAL; a reader that writes is a flaw.

At the first start the folder of each file that matters must be synced after the file was made. The exit status is 1 if
a reply was early.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.crash import sync_trace
from benchmarks.crash.clients import Pop3, Smtp
from benchmarks.crash.load import AWAY
from benchmarks.crash.node import Node, Ports, address, hasty, until
from benchmarks.crash.sink import TAKEN, Sink
from benchmarks.crash.texts import make_text
from emailsys.control.requests import AliasSet
from emailsys.mail.address import Address
from tests.live.programs.daemon import DOMAIN
from tests.live.programs.tracing import Call

Act = Callable[[Node], None]

QUEUED = "queued as"


class Watch:
    """A daemon under strace, a sink, and the paths that are walked."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self.chosen = chosen
        self.chance = random.Random(chosen.seed)
        self.times = range(chosen.times)
        self.flaws = 0
        self.trace_path = folder / "trace"
        ports = Ports(chosen.base_port)
        self.sink = Sink(ports.take()[0], folder / "sink.log")
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": self.sink.port, "tls": "none"}
        self.lists = [("routing.routes", route)]
        watched = ("-e", f"trace={sync_trace.WATCHED}", "-o", str(self.trace_path))
        self.node = Node(folder / "node", ports, wrapper=("strace", "-f", "-yy", "-ttt", "-s", "200", *watched))

    def session(self, act: Act, relaying: bool = False) -> list[Call]:
        """The trace of one run of the daemon, in which something is done.

        @param relaying: whether mail leaves during the run; its commits would stand between others and their replies.
        """
        self.node.configure({**hasty(), "outbound": {"enabled": relaying}}, self.lists)
        self.node.start()
        act(self.node)
        self.node.end_child()
        self.node.wait()
        return sync_trace.read(self.trace_path)

    def tell(self, name: str, wrong: Sequence[str], count: int) -> None:
        """Print the result of a path."""
        self.flaws += len(wrong)
        print(f"{'FLAW' if wrong else 'ok  '} {name}: {count} replies, {len(wrong)} wrong", flush=True)
        for one in wrong[:3]:
            print("     ", one)
        if wrong and self.chosen.keep:
            shutil.copy(self.trace_path, self.chosen.keep / f"{name}.trace")

    def check_readers(self, name: str, trace: Sequence[Call]) -> None:
        """A reader writes nothing: its commit would stand in the WAL outside the commit lock."""
        threads = sync_trace.writing_threads(trace)
        if len(threads) != 1:
            self.tell(f"one thread writes: {name}", [f"{len(threads)} threads write to the WAL"], len(self.times))

    def first_start(self) -> None:
        """Names that the first start makes."""

        def act(node: Node) -> None:
            node.add_users(["u0", "u1", "u2"])
            node.command(AliasSet(Address("out", DOMAIN), (Address("x", AWAY),)))

        created = self.session(act)
        self.tell("names at the first start", sync_trace.unsynced_names(created, self.node.state), len(created))

    def sending(self, recipients: Sequence[str], octets: int, bdat: bool = False, service: str = "smtp") -> Act:
        """Send messages one after the other."""

        def act(node: Node) -> None:
            sender = address("u0") if service == "submission" else "x@elsewhere.test"
            with Smtp(node, service) as smtp:
                if service == "submission":
                    smtp.login(sender)
                for number in self.times:
                    text = make_text(f"s{number}", octets, self.chance)
                    if bdat:
                        smtp.say(smtp.envelope(sender, recipients) + b"BDAT %d LAST\r\n" % len(text) + text)
                        for _ in range(1 + len(recipients)):
                            smtp.expect(b"250")
                        reply = smtp.reply()
                    else:
                        reply = smtp.send(sender, recipients, text)
                    assert reply.startswith(b"250"), reply
            time.sleep(0.3)

        return act

    def accepts(self) -> None:
        """Every path by which a message comes in."""
        remote = f"r@{AWAY}"
        paths: dict[str, Act] = {
            "DATA, one maildrop": self.sending([address("u0")], 1000),
            "DATA, three maildrops": self.sending([address(f"u{number}") for number in range(3)], 1000),
            "DATA, a staged body of 700 KiB": self.sending([address("u0")], 700_000),
            "BDAT": self.sending([address("u1")], 2000, bdat=True),
            "BDAT, staged": self.sending([address("u1")], 600_000, bdat=True),
            "submission, remote": self.sending([remote], 1000, service="submission"),
            "submission, local and remote": self.sending([remote, address("u2")], 1000, service="submission"),
            "an alias that leads to a remote host": self.sending([address("out")], 1000),
        }
        for name, act in paths.items():
            if self.chosen.only in name:
                trace = self.session(act)
                self.tell(name, sync_trace.early(trace, QUEUED, len(self.times)), len(self.times))
                self.check_readers(name, trace)

    def deletes(self) -> None:
        """QUIT with deletes."""

        def act(node: Node) -> None:
            for _ in self.times:
                with Pop3(node) as pop3:
                    pop3.login(address("u0"))
                    pop3.delete([1])
                    pop3.demand("QUIT")

        trace = self.session(act)
        last = next(
            (
                call.text
                for call in reversed(trace)
                if call.name in ("sendto", "write") and '"+OK' in call.text and "TCP" in call.text
            ),
            "",
        )
        words = re.search(r'"(\+OK[^"\\]{3,20})', last)
        assert words is not None, last
        self.tell(
            f"QUIT that deletes ({words[1]!r})", sync_trace.early(trace, words[1], len(self.times)), len(self.times)
        )
        self.check_readers("QUIT that deletes", trace)

    def commands(self) -> None:
        """An operator's commands, by the control socket."""

        def act(node: Node) -> None:
            for number in self.times:
                node.command(AliasSet(Address(f"n{number}", DOMAIN), (Address("u0", DOMAIN),)))

        trace = self.session(act)
        self.tell("operator's commands", sync_trace.early(trace, '{\\"result', len(self.times)), len(self.times))

    def relays(self) -> None:
        """Messages to a remote host, until the queue is empty."""

        def act(node: Node) -> None:
            before = sum(self.sink.taken().counts.values())
            self.sending([f"q@{AWAY}"], 500, service="submission")(node)
            wanted = before + len(self.times)
            until(lambda: sum(self.sink.taken().counts.values()) >= wanted and not node.queued(), 30)

        trace = self.session(act, relaying=True)
        self.tell("relayed mail is settled in a synced commit", sync_trace.settled(trace, TAKEN), len(self.times))

    def close(self) -> None:
        """Kill everything."""
        if self.node.alive:
            self.node.end_child()
        self.node.kill()
        self.sink.close()


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="steps on each path")
    parser.add_argument("--seed", type=int, default=1)
    Ports.option(parser)
    parser.add_argument("--only", default="", help="of the ways in, those whose name has this text")
    parser.add_argument("--keep", type=Path, help="the folder for the traces of paths with a flaw")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sync-order-") as temporary:
        watch = Watch(chosen, Path(temporary))
        try:
            for part in (watch.first_start, watch.accepts, watch.deletes, watch.commands, watch.relays):
                part()
        finally:
            watch.close()
    print(f"{watch.flaws} flaws")
    return 1 if watch.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
