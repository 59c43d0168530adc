"""How many messages a second one daemon takes for good: each is counted when its 250 has come, after its commit."""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks import flow, process
from tests.live.programs.daemon import Daemon


def main() -> None:
    """Start a daemon on its default store, send, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--connections", type=int, default=50)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--octets", type=int, default=4096, help="of a message")
    options.add_argument("--users", type=int, default=100, help="recipients, taken in turn")
    options.add_argument("--config", default="", help="more of the configuration, in TOML")
    given = options.parse_args()
    # Plugins that the configuration names are on the path of this process.
    daemon = Daemon(given.config, environment={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    try:
        recipients = [user.address for user in daemon.users(given.users)]
        flow.flow(
            daemon.ports["smtp"], recipients, given.octets, given.connections, lambda seen, seconds: seconds < 1.0
        )
        before = process.cpu_seconds(daemon.pid)
        figures = flow.flow(
            daemon.ports["smtp"],
            recipients,
            given.octets,
            given.connections,
            lambda seen, seconds: seconds < given.seconds,
        )
        spent = process.cpu_seconds(daemon.pid) - before
        print(f"{given.octets} octets, {given.connections} connections: {figures}")
        each = 1e6 * spent / len(figures.latencies)
        print(f"server CPU {each:.0f} µs a message, {process.resident(daemon.pid):.0f} MiB in memory")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
