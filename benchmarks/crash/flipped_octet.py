"""One octet of a body changes on the disk, as by a bad sector or a stray write.

    python -m benchmarks.crash.flipped_octet

The daemon is stopped, the octet is changed, the daemon is started. The exit status is 1 if RETR or the relay passes the
changed octets on as the message.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.crash.clients import Gone, Pop3, Refused, Smtp
from benchmarks.crash.load import AWAY
from benchmarks.crash.node import Node, Ports, address, hasty, until
from benchmarks.crash.sink import Sink
from benchmarks.crash.texts import from_ident, make_text


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    Ports.option(parser)
    chosen = parser.parse_args()
    given_away = 0
    with tempfile.TemporaryDirectory(prefix="flipped-octet-") as temporary:
        folder = Path(temporary)
        ports = Ports(chosen.base_port)
        sink = Sink(ports.take()[0], folder / "sink.log")
        route = {"recipient_domain": AWAY, "host": "[127.0.0.1]", "port": sink.port, "tls": "none"}
        node = Node(folder / "node", ports, {"outbound": {"enabled": False}})
        node.start()
        node.add_users(["u0"])
        text = make_text("m", 3000, random.Random(1)).replace(b"\r\n\r\n", b"\r\n\r\nTHE-AMOUNT-IS-1000-EURO\r\n", 1)
        with Smtp(node, "submission") as smtp:
            smtp.login(address("u0"))
            print("sent:  ", smtp.send(address("u0"), [address("u0"), f"r@{AWAY}"], text).decode())
        node.drain()
        store = node.state / "mail.sqlite"
        octets = store.read_bytes()
        store.write_bytes(octets.replace(b"AMOUNT-IS-1000", b"AMOUNT-IS-9000"))
        node.configure(hasty(), [("routing.routes", route)])
        node.start()
        with Pop3(node) as pop3:
            pop3.login(address("u0"))
            try:
                (_, got), *_ = pop3.fetch([1])
                given_away += from_ident(got) != text
                print("RETR:  ", "the octets that were sent" if from_ident(got) == text else "other octets, with +OK")
            except (Gone, Refused) as why:
                print("RETR:  ", why)
        until(lambda: bool(sink.taken().counts), 10)
        relayed = sink.taken().counts["m", f"r@{AWAY}"]
        given_away += relayed
        print("relay: ", f"sent on {relayed} times")
        print("verify:", node.verify())
        node.kill()
        sink.close()
    return 1 if given_away else 0


if __name__ == "__main__":
    sys.exit(main())
