"""How long a small message waits for its 250 while large ones come in."""

from __future__ import annotations

import argparse
import threading

from benchmarks import flow
from benchmarks.memory import receive
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon
from tests.live.programs.wire import smtp


def main() -> None:
    """Start, send small messages alone, then beside large ones; print both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", type=int, default=10, help="how many large messages come in at once")
    options.add_argument("--mebibytes", type=int, default=100, help="of a large message")
    options.add_argument("--connections", type=int, default=1, help="for small messages")
    given = options.parse_args()
    daemon = Daemon('[smtp]\nmax_message_size = "1 GiB"\n')
    try:
        user = daemon.user()
        text = messages.of_size("a@example.org", user.address, "large", given.mebibytes << 20)
        port, recipients = daemon.ports["smtp"], [user.address]
        alone = flow.flow(port, recipients, 4096, given.connections, lambda seen, seconds: seconds < 2.0)
        print(f"4096 octets alone: {alone}")

        def bring() -> None:
            with smtp(daemon) as wire:
                receive(wire, user.address, text)

        threads = [threading.Thread(target=bring) for _ in range(given.large)]
        for thread in threads:
            thread.start()
        beside = flow.flow(
            port,
            recipients,
            4096,
            given.connections,
            lambda seen, seconds: any(thread.is_alive() for thread in threads),
        )
        for thread in threads:
            thread.join()
        print(f"4096 octets beside {given.large} messages of {given.mebibytes} MiB: {beside}")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
