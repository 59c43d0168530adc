"""How fast queued mail leaves for programs: a webhook, and Dovecot's LMTP server beside Postfix.

The messages are in the queue while their way out is closed; then it is opened, and the time is taken until the last
one is there. Each is committed before and after: what is counted, is delivered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from twisted.internet import task
from twisted.internet.defer import Deferred

from benchmarks.outbound_domains import DOMAINS
from benchmarks.outbound_postfix import SMTP_SOURCE, Taken, ours, postfix, show
from emailsys.pki import ensure_development_ca
from tests.live.programs import dovecot

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")
_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take requests on a connection, and write an octet to stdout for each."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            length = _LENGTH.search(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(int(length[1]) if length else 0)
            os.write(1, b".")
            writer.write(_ANSWER)
    writer.close()


async def _listen() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    os.write(2, b"%d\n" % server.sockets[0].getsockname()[1])
    await server.serve_forever()


class WebhookSink:
    """A web application in a process of its own, which takes everything and counts it."""

    def __init__(self) -> None:
        self._counted = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the sink
        command = [sys.executable, "-m", "benchmarks.outbound_programs", "--serve"]
        self._process = subprocess.Popen(command, stdout=self._counted, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        self.port = int(self._process.stderr.readline())

    @property
    def taken(self) -> int:
        """Messages so far."""
        return os.fstat(self._counted.fileno()).st_size

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def webhook(messages: int, octets: int) -> Taken:
    """Queued mail leaves for a web application."""
    sink = WebhookSink()
    try:
        return ours(f'host = "http://127.0.0.1:{sink.port}/mail"\n', lambda: sink.taken, messages, octets)
    finally:
        sink.close()


def _made_folder() -> Path:
    """Make a folder that Dovecot's users may enter, with a short path: it has sockets."""
    folder = Path(tempfile.mkdtemp(prefix="em-lmtp-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


async def lmtp(reactor: object, name: str, messages: int, octets: int) -> Taken:
    """Queued mail leaves for a private Dovecot with 50 users."""
    from twisted.internet.threads import deferToThread

    folder = _made_folder()
    made = ensure_development_ca(folder / "ca", ("localhost",)).certificates[0]
    users = {f"bob@d{number}.test": "secret" for number in range(DOMAINS)}
    server = dovecot.Dovecot(folder / "d", made.chain, made.key, users)
    await server.start(reactor)

    def taken() -> int:
        return sum(len(os.listdir(server.maildir / user / "new")) for user in users)

    try:
        if name == "emailsys":
            way = f'host = "lmtp:127.0.0.1"\nport = {server.lmtp_port}\n'
            return await deferToThread(ours, way, taken, messages, octets)
        return await deferToThread(postfix, f"lmtp:inet:127.0.0.1:{server.lmtp_port}", taken, messages, octets)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def measure(reactor: object, messages: int, octets: int) -> None:
    """Measure one after the other, and print the ratio."""
    from twisted.internet.threads import deferToThread

    show("webhook", messages, octets, await deferToThread(webhook, messages, octets))
    if dovecot.why_not() or SMTP_SOURCE is None:
        sys.exit(dovecot.why_not() or "needs smtp-source of Postfix, which is not installed")
    rates = {}
    for name in ("emailsys", "Postfix"):
        rates[name] = show(f"LMTP, {name}", messages, octets, await lmtp(reactor, name, messages, octets))
    print(f"ratio: {rates['emailsys'] / rates['Postfix']:.2f}")


def main() -> None:
    """Run all of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--octets", type=int, default=4096)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        asyncio.run(_listen())
        return
    messages = given.messages // DOMAINS * DOMAINS
    task.react(lambda reactor: Deferred.fromCoroutine(measure(reactor, messages, given.octets)))


if __name__ == "__main__":
    main()
