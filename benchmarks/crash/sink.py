"""A remote host in a process of its own, which logs each message before it answers 250.

    python -m benchmarks.crash.sink --port PORT --log FILE [--delay SECONDS] [--silent]

A line of the log is: ident, SHA-256 of the message from its ident on, recipients separated by commas.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.crash.node import HOST, until
from benchmarks.crash.texts import find_ident, from_ident
from tests.live.programs.daemon import Failed

# The reply to a message, without its code.
TAKEN: Final = "2.0.0 taken"
_ROOT: Final = Path(__file__).resolve().parents[2]


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: int, delay: float) -> None:
    recipients: list[str] = []
    writer.write(b"220 sink ESMTP\r\n")
    try:
        while line := await reader.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n")
            elif verb == b"RCPT":
                recipients.append(re.search(rb"<(.*)>", line)[1].decode())  # type: ignore[index]
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                text = bytearray()
                while (piece := await reader.readuntil(b"\r\n")) != b".\r\n":
                    text += piece[1:] if piece.startswith(b"..") else piece
                ident = find_ident(bytes(text)) or "-"
                digest = hashlib.sha256(from_ident(bytes(text))).hexdigest()
                os.write(log, f"{ident} {digest} {','.join(recipients)}\n".encode())
                recipients = []
                if delay:
                    await asyncio.sleep(delay)
                writer.write(f"250 {TAKEN}\r\n".encode())
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                if verb in (b"MAIL", b"RSET"):
                    recipients = []
                writer.write(b"250 2.0.0 ok\r\n")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)
    writer.close()


async def _serve(port: int, log: int, delay: float, silent: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (_silent(reader, writer) if silent else _talk(reader, writer, log, delay))

    server = await asyncio.start_server(talk, HOST, port, limit=2**20, backlog=1000)
    async with server:
        await server.serve_forever()


@dataclass(frozen=True)
class Taken:
    """What a sink has answered 250, or was about to: copies by message and recipient, and all digests by message."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    digests: dict[str, set[str]] = field(default_factory=dict)


class Sink:
    """The harness's end of a sink.

    @param delay: seconds before each 250.
    @param silent: whether it accepts connections and never says a word.
    """

    def __init__(self, port: int, log: Path, delay: float = 0.0, silent: bool = False) -> None:
        self.port = port
        self.log = log
        log.touch()
        command = [
            sys.executable,
            "-m",
            "benchmarks.crash.sink",
            "--port",
            str(port),
            "--log",
            str(log),
            "--delay",
            str(delay),
        ]
        self.process = subprocess.Popen([*command, *(["--silent"] if silent else [])], cwd=_ROOT)
        atexit.register(self.close)
        if not until(self._listens, 30):
            raise Failed("the sink does not start")

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise Failed(f"the sink ended: another program listens at port {self.port}?")
        try:
            socket.create_connection((HOST, self.port), 1).close()
        except OSError:
            return False
        # Another program may have been there before: the sink ends then.
        time.sleep(0.2)
        return self.process.poll() is None

    def taken(self) -> Taken:
        """All that it has taken so far."""
        taken = Taken()
        for line in self.log.read_text().splitlines():
            ident, digest, recipients = line.split(" ", 2)
            taken.digests.setdefault(ident, set()).add(digest)
            for recipient in recipients.split(","):
                taken.counts[ident, recipient] += 1
        return taken

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--silent", action="store_true")
    chosen = parser.parse_args()
    log = os.open(chosen.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.run(_serve(chosen.port, log, chosen.delay, chosen.silent))


if __name__ == "__main__":
    main()
