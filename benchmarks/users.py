"""Many users at once, each submitting over STARTTLS and fetching over POP3S; every operation is timed."""

from __future__ import annotations

import argparse
import poplib
import smtplib
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from benchmarks import process
from tests.live.programs import messages
from tests.live.programs.daemon import Daemon, User

Result = TypeVar("Result")
TIMEOUT = 60.0


class Watch:
    """Seconds of each operation, by name, and what failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []

    def time(self, name: str, operation: Callable[[], Result]) -> Result:
        """Carry it out and note how long it took."""
        began = time.perf_counter()
        result = operation()
        with self._lock:
            self.seconds[name].append(time.perf_counter() - began)
        return result

    def failed(self, user: User, error: Exception) -> None:
        """Note that a user's round did not hold."""
        with self._lock:
            self.failures.append(f"{user.name}: {error!r}")

    def mean(self, *names: str) -> float:
        """The mean of some operations, or of all, in milliseconds."""
        seconds = [one for name in names or self.seconds for one in self.seconds[name]]
        return 1000 * sum(seconds) / len(seconds) if seconds else 0.0


def one_round(daemon: Daemon, user: User, peer: User, context: ssl.SSLContext, watch: Watch, text: bytes) -> None:
    """Submit a message to a peer, and fetch and delete all of one's own."""
    out = watch.time("connect", lambda: smtplib.SMTP("localhost", daemon.ports["submission"], timeout=TIMEOUT))
    watch.time("starttls", lambda: out.starttls(context=context))
    watch.time("login", lambda: out.login(user.address, user.password))
    watch.time("send", lambda: out.sendmail(user.address, [peer.address], text))
    watch.time("quit", out.quit)
    box = watch.time(
        "connect", lambda: poplib.POP3_SSL("localhost", daemon.ports["pop3s"], timeout=TIMEOUT, context=context)
    )
    box.user(user.address)
    watch.time("login", lambda: box.pass_(user.password))
    count = watch.time("stat", box.stat)[0]
    for number in range(1, count + 1):
        lines = watch.time("retr", lambda number=number: box.retr(number))[1]  # type: ignore[misc]
        # The message is from a peer, whose header names another author.
        assert b"\r\n".join(lines).endswith(text.partition(b"\r\n\r\n")[2].rstrip(b"\r\n")), "the octets differ"
        watch.time("dele", lambda number=number: box.dele(number))  # type: ignore[misc]
    watch.time("quit", box.quit)


def all_at_once(daemon: Daemon, users: list[User], rounds: int) -> Watch:
    """Each user in a thread of its own; all begin together."""
    watch = Watch()
    context = ssl.create_default_context(cafile=str(daemon.ca))
    start = threading.Barrier(len(users))

    def live(number: int) -> None:
        user, peer = users[number], users[(number + 1) % len(users)]
        text = messages.header(user.address, "users@example.test", "round") + b"\r\n" + b"text\r\n" * 100
        start.wait()
        for _ in range(rounds):
            try:
                one_round(daemon, user, peer, context, watch, text)
            except (OSError, smtplib.SMTPException, poplib.error_proto, AssertionError) as error:
                watch.failed(user, error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(len(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return watch


def main() -> None:
    """A cold round, in which every password is hashed, then warm ones; print both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3, help="warm rounds of each user")
    given = options.parse_args()
    daemon = Daemon()
    try:
        users = daemon.users(given.users)
        cold = all_at_once(daemon, users, 1)
        process.forget_peak(daemon.pid)
        warm = all_at_once(daemon, users, given.rounds)
        for name, watch in (("cold", cold), ("warm", warm)):
            wanted = given.users * (1 if watch is cold else given.rounds)
            print(f"{name}: {wanted - len(watch.failures)} of {wanted} rounds of {given.users} users held")
            print(f"{name}: mean of all operations {watch.mean():.1f} ms, of logins {watch.mean('login'):.1f} ms")
            for failure in watch.failures[:5]:
                print(f"{name}: {failure}")
        print(f"peak memory of the daemon {process.peak(daemon.pid):.0f} MiB")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
