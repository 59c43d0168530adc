"""One octet of a body changes on the disk, as by a bad sector or a stray write, and a whole page is lost.

    python -m benchmarks.crash.flipped_octet

The daemon is stopped, its store is damaged in three places, and the daemon is started. The exit status is 1 if RETR or
the relay passes a damaged message on, if a message that is whole does not arrive, or if `emailsys verify` does not name
exactly the damaged messages.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.load import AWAY
from benchmarks.crash.node import Node, Ports, address, hasty, until
from benchmarks.crash.sink import Sink
from benchmarks.crash.texts import from_ident, make_text

PAGE_OCTETS = 16 * 1024
# The first octet of a page with rows of a table (sqlite.org/fileformat2.html §1.6).
LEAF = 13
# Messages by name, with their octets, in the order in which they are sent. Each damaged one has its name as a mark:
# behind its header, or that many octets behind it. The one whose page is lost fills a page alone.
WHOLE = ("before", "after")
DAMAGED = {"flipped": 0, "page": 0, "late": 400_000}
OCTETS = {"before": 3000, "late": 800_000, "flipped": 3000, "page": 14_000, "after": 3000}


def mark(name: str) -> bytes:
    """What is changed in that message."""
    return f"THE-AMOUNT-OF-{name}-IS-1000-EURO\r\n".encode()


def marked_texts() -> dict[str, bytes]:
    """The messages, by name."""
    chance = random.Random(1)
    made = {name: make_text(name, octets, chance) for name, octets in OCTETS.items()}
    for name, behind in DAMAGED.items():
        text = made[name]
        at = text.index(b"\r\n", text.index(b"\r\n\r\n") + 2 + behind) + 2
        made[name] = text[:at] + mark(name) + text[at:]
    return made


def damage(store: Path) -> None:
    """Change an octet of two messages, and overwrite the page of a third one with zeros."""
    octets = store.read_bytes()
    for name in ("flipped", "late"):
        octets = octets.replace(mark(name), mark(name).replace(b"1000", b"9000"))
    pages = [octets[start : start + PAGE_OCTETS] for start in range(0, len(octets), PAGE_OCTETS)]
    lost = mark("page")
    store.write_bytes(b"".join(bytes(PAGE_OCTETS) if page[0] == LEAF and lost in page else page for page in pages))


def run(node: Node, *words: str) -> str:
    """Run a command of the console program; returns what it printed."""
    return subprocess.run(node.program(*words), capture_output=True, text=True, check=True, timeout=60).stdout


def held(node: Node) -> list[str]:
    """What is held in the queue, with the reason."""
    rows = json.loads(run(node, "queue", "list", "--status", "held", "--json"))
    return [f"held: {row['queue_id']} {row['reply']}" for row in rows]


def fetch(node: Node, number: int) -> tuple[bytes | None, str]:
    """A message by POP3 in a session of its own, None if it was not given; and what was said."""
    with Pop3(node) as pop3:
        pop3.login(address("u0"))
        try:
            (_, got), *_ = pop3.fetch([number])
        except (Gone, Refused) as why:
            return None, str(why)
    return from_ident(got), "+OK"


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    Ports.option(parser)
    chosen = parser.parse_args()
    flaws = 0
    with tempfile.TemporaryDirectory(prefix="flipped-octet-") as temporary:
        folder = Path(temporary)
        ports = Ports(chosen.base_port)
        sink = Sink(ports.take()[0], folder / "sink.log")
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": sink.port, "tls": "none"}
        node = Node(folder / "node", ports, {"outbound": {"enabled": False}})
        node.start()
        node.add_users(["u0"])
        texts = marked_texts()
        queue_ids: dict[str, str] = {}
        with Smtp(node, "submission") as smtp:
            smtp.login(address("u0"))
            for name, text in texts.items():
                reply = smtp.send(address("u0"), [address("u0"), f"r@{AWAY}"], text).decode()
                queue_ids[name] = reply.split()[-1]
                print(f"{name}: {reply}")
        node.drain()
        damage(node.state / "mail.sqlite")
        node.configure(hasty(), [("routing.routes", route)])
        node.start()
        # The mail was tried while outbound was switched off; the schedule would wait for five minutes.
        run(node, "queue", "retry", "--all")
        until(lambda: all(sink.taken().counts[name, f"r@{AWAY}"] for name in WHOLE), 20)
        for number, (name, text) in enumerate(texts.items(), 1):
            # Twice: what was found damaged behind its beginning is then refused at once.
            for _ in range(2):
                got, said = fetch(node, number)
                right = got == text if name in WHOLE else got is None
                flaws += not right
                print(f"{name}: RETR {said}{'' if right else '  FLAW'}")
            relayed = sink.taken().counts[name, f"r@{AWAY}"]
            right = bool(relayed) == (name in WHOLE)
            flaws += not right
            print(f"{name}: relayed {relayed} times{'' if right else '  FLAW'}")
        until(lambda: len(held(node)) == len(DAMAGED), 20)
        flaws += len(held(node)) != len(DAMAGED)
        print(*held(node), sep="\n")
        found = node.verify()
        named = {flaw.partition(":")[0] for flaw in found}
        right = named == {queue_ids[name] for name in DAMAGED}
        flaws += not right
        print(*(f"verify: {flaw}" for flaw in found), sep="\n")
        print(f"verify names {len(named)} messages{'' if right else '  FLAW'}")
        node.kill()
        sink.close()
    print(f"{flaws:6}  flaws")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
