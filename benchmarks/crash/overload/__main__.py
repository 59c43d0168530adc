"""Overload: clients ask more than the daemon can give, in every way a stranger can, and others measure the effect.

    python -m benchmarks.crash.overload --list
    python -m benchmarks.crash.overload idle slowloris
    python -m benchmarks.crash.overload leak --connections 50000

Beside each attack a small message and a login are timed again and again ("others"). Printed are their median and
longest times, what the attackers saw, and the memory, descriptors and CPU time of the daemon before, at the worst
moment and after. Nothing is judged: compare the figures.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.crash.node import Ports
from benchmarks.crash.overload import connections, networks, work
from benchmarks.crash.overload.attack import Attack

ATTACKS: Final[Sequence[Callable[[Attack], None]]] = (
    connections.idle,
    connections.handshakes,
    connections.slowloris,
    connections.never_read,
    work.floods,
    work.recipients,
    work.large,
    work.passwords,
    networks.networks,
    work.big_maildrop,
    connections.leak,
    work.dead_hosts,
)


def main() -> int:
    """Run the command; returns its exit status."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help="or all")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    Ports.option(parser)
    parser.add_argument("--connections", type=int, default=50_000, help="of leak")
    parser.add_argument("--clients", type=int, default=20, help="of floods")
    parser.add_argument("--messages", type=int, default=100_000, help="of big_maildrop")
    parser.add_argument("--rows", type=int, default=200_000, help="of dead_hosts")
    parser.add_argument("--minutes", type=int, default=5, help="of dead_hosts")
    chosen = parser.parse_args()
    known = {attack.__name__: attack for attack in ATTACKS}
    if chosen.list or not chosen.attacks:
        for name, run in known.items():
            print(f"{name:14} {run.__doc__}")
        return 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(f"seed {chosen.seed}")
    for name in known if chosen.attacks == ["all"] else chosen.attacks:
        with tempfile.TemporaryDirectory(prefix=f"overload-{name}-") as temporary:
            attack = Attack(name, chosen, Path(temporary))
            try:
                known[name](attack)
            finally:
                attack.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
