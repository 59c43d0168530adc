"""Second process of an import: reads messages for the index while the first process stores those before them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from emailsys.client.archive.forked_process import PIPE_OCTETS, fork

if TYPE_CHECKING:
    from emailsys.client.archive.index_entry import IndexFields
    from emailsys.client.archive.values import Addition

#: What a message's file name and its row in the index are made of.
Read = tuple[str, "IndexFields"]


def start(root: Path, now: Callable[[], datetime]) -> ReadingProcess | None:
    """Fork the process. Return None where `forked_process.fork` does. Call it before the store is opened.

    @param root: the store's folder, for the record of messages that cannot be read.
    @param now: the current moment, with time zone.
    """
    root = root.absolute()
    forked = fork(lambda asked, answered: _run(root, asked, answered))
    if forked is None:
        return None
    process, requests, answers = forked
    return ReadingProcess(process, open(requests, "wb", buffering=0), open(answers, "rb", PIPE_OCTETS), now)


def _run(root: Path, asked: int, answered: int) -> None:
    with open(asked, "rb", PIPE_OCTETS) as requests, open(answered, "wb", PIPE_OCTETS) as answers:
        serve(root, requests, answers)


def serve(root: Path, asked: BinaryIO, answered: BinaryIO) -> None:
    """Read batches of messages until the first process closes the pipe or dies.

    A request is a pickled list of key, octets and time of arrival of each message. The answer is a pickled list of
    file name and index fields of each.
    """
    # The parser. It is loaded while the first process opens the store.
    from emailsys.client.archive.unreadable import readable_name_and_fields

    while True:
        try:
            batch = pickle.load(asked)  # noqa: S301
            read = [readable_name_and_fields(root, key, octets, arrived) for key, octets, arrived in batch]
            pickle.dump(read, answered, pickle.HIGHEST_PROTOCOL)
            answered.flush()
        except (EOFError, OSError, pickle.UnpicklingError):
            return


class ReadingProcess:
    """Client of the process. One batch at a time: `send`, then `receive`. For one thread.

    If the process dies, `receive` returns None, and the caller reads the messages itself.
    """

    def __init__(self, process: int, requests: BinaryIO, answers: BinaryIO, now: Callable[[], datetime]) -> None:
        """@param requests: an unbuffered file."""
        #: Process id.
        self.process = process
        self._requests = requests
        self._answers = answers
        self._now = now
        self._is_gone = False

    def send(self, additions: Sequence[Addition]) -> list[Addition]:
        """Let the process read messages, and do not wait for it.

        @return: the additions, with the time of arrival that they are read with.
        """
        from emailsys.client.archive.files import new_key

        dated = [one if one.arrived is not None else replace(one, arrived=self._now()) for one in additions]
        batch = [(new_key(one.source), one.octets, one.arrived) for one in dated]
        request = memoryview(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))
        try:
            while request and not self._is_gone:
                request = request[self._requests.write(request) :]
        except OSError:
            self._is_gone = True
        return dated

    def receive(self) -> list[Read] | None:
        """Wait for the messages that were sent last. Return file name and index fields of each."""
        if self._is_gone:
            return None
        try:
            found: list[Read] = pickle.load(self._answers)  # noqa: S301
        except (EOFError, OSError, pickle.UnpicklingError):
            self._is_gone = True
            return None
        return found

    def close(self) -> None:
        """Let the process end, and wait for that. An answer that nobody has received is lost."""
        self._is_gone = True
        self._requests.close()
        self._answers.close()
        os.waitpid(self.process, 0)
