"""How many messages a second leave for Postfix's smtp-sink, and what each costs in CPU; without the queue."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.delivery.relay import Relay
from emailsys.interfaces import IResolver
from emailsys.mail.address import parse
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Forward, OutcomeKind, Transmission
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from emailsys.telemetry import Telemetry

SMTP_SINK = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@implementer(IResolver)
class OneHost:
    """Everything goes to the sink."""

    def __init__(self, port: int) -> None:
        self._hosts = [Host("", "127.0.0.1", port)]

    async def hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        return self._hosts


def cpu() -> float:
    """Seconds of this process, the kernel's share too."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def send(reactor: Any, port: int, arguments: argparse.Namespace) -> None:
    """Send them all, so many at once, and print the figures."""
    settings = OutboundSettings(connections_per_host=arguments.connections)
    pool = ConnectionPool(reactor, settings, "bench.example", client_tls, Telemetry())
    relay = Relay(OneHost(port), pool, settings, Telemetry())
    body = (b"Subject: a benchmark\r\n\r\n" + (b"x" * 70 + b"\r\n") * (arguments.octets // 72 + 1))[: arguments.octets]
    sender, recipient = parse("alice@example.test"), Forward(parse("bob@example.net"))
    left = arguments.messages

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            message = Transmission("Q", sender, (recipient,), len(body), pieces)
            [outcome] = await relay.relay(NextHop("example.net"), message)
            assert outcome.kind is OutcomeKind.DELIVERED, outcome

    began, used = time.perf_counter(), cpu()
    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(arguments.at_once)])
    seconds, used = time.perf_counter() - began, cpu() - used
    each = used / arguments.messages * 1e6
    rate = arguments.messages / seconds
    print(f"{arguments.messages} messages of {len(body)} octets: {rate:.0f}/s, {each:.0f} µs CPU each")
    await pool.close(5.0)


def main() -> None:
    """Run the sink, then send."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--octets", type=int, default=4096)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    if SMTP_SINK is None:
        sys.exit("needs smtp-sink of Postfix, which is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen([SMTP_SINK, *user, f"127.0.0.1:{port}", "100"])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)
        task.react(lambda reactor: Deferred.fromCoroutine(send(reactor, port, arguments)))
    finally:
        sink.terminate()
        sink.wait()


if __name__ == "__main__":
    main()
