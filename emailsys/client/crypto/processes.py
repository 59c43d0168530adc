"""Runs gpg and openssl: bounded output, a time limit, and a status channel that no message can write to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. @ivar is_cut: it wrote more than it may, or ran out of time, and was killed."""

    output: bytes
    status: bytes
    code: int
    is_cut: bool = False
    is_late: bool = False


def run(
    arguments: Sequence[str],
    data: bytes,
    *,
    most: int,
    seconds: float,
    most_status: int = 0,
    environment: dict[str, str] | None = None,
) -> Ran:
    """Run a program, give it `data`, and return its output of at most `most` octets.

    @param most_status: octets of its status lines; 0 if it has none. "--status-fd" and its number are then added after
        the name of the program. Where a descriptor cannot be passed (Windows), the lines come on standard error, and
        gpg writes nothing else there.
    @raise OSError: the program cannot be started.
    """
    words, pass_on = list(arguments), ()
    reading = writing = -1
    has_pipe = bool(most_status) and sys.platform != "win32"
    if has_pipe:
        reading, writing = os.pipe()
        words[1:1] = ["--status-fd", str(writing)]
    elif most_status:
        words[1:1] = ["--status-fd", "2", "--logger-file", os.devnull]
    try:
        process = subprocess.Popen(  # noqa: S603 - no argument comes from a message
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if most_status and not has_pipe else subprocess.DEVNULL,
            env=environment,
            pass_fds=(writing,) if has_pipe else pass_on,
        )
    except BaseException:
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
        raise
    if has_pipe:
        os.close(writing)
    channel: IO[bytes] | None = os.fdopen(reading, "rb", 0) if has_pipe else process.stderr
    return _Run(process, channel, data, most, most_status).result(seconds)


class _Run:
    """A running program, with a thread for each stream but its output."""

    def __init__(
        self, process: subprocess.Popen[bytes], channel: IO[bytes] | None, data: bytes, most: int, most_status: int
    ) -> None:
        self._process = process
        self._channel = channel
        self._data = data
        self._most = most
        self._most_status = most_status
        self._status = b""
        self._is_cut = self._is_late = False

    def result(self, seconds: float) -> Ran:
        threads = [threading.Thread(target=self._write, daemon=True)]
        if self._channel is not None:
            threads.append(threading.Thread(target=self._read_status, daemon=True))
        timer = threading.Timer(seconds, self._end_late)
        timer.daemon = True
        for thread in (*threads, timer):
            thread.start()
        try:
            output = self._read(self._process.stdout, self._most)
            code = self._process.wait()
        finally:
            timer.cancel()
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            for thread in threads:
                thread.join(5)
            for stream in (self._process.stdout, self._channel):
                if stream is not None:
                    stream.close()
        return Ran(output, self._status, code, self._is_cut or self._is_late, self._is_late)

    def _write(self) -> None:
        stream: Any = self._process.stdin
        # If the program reads no more, its status tells why.
        with suppress(OSError):
            stream.write(self._data)
        with suppress(OSError):
            stream.close()

    def _read(self, stream: Any, most: int) -> bytes:
        pieces = []
        left = most
        while piece := stream.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                self._is_cut = True
                self._process.kill()
                break
            pieces.append(piece)
        return b"".join(pieces)

    def _read_status(self) -> None:
        self._status = self._read(self._channel, self._most_status)

    def _end_late(self) -> None:
        self._is_late = True
        self._process.kill()
