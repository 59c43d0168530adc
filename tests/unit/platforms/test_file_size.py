"""The limit of the size of another process's files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.file_size import limit_file_size

# Writes as many octets as each line says, and prints what became of it.
PROGRAM = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "wb", buffering=0) as file:
            print(file.write(b"x" * int(line)), flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


class FileSizeTests(SynchronousTestCase):
    """A process of this user."""

    def test_a_process_cannot_write_beyond_the_limit_until_it_is_removed(self) -> None:
        """The part up to the limit is written; a file that has this size does not grow."""
        if sys.platform != "linux":
            self.assertFalse(limit_file_size(0, 1))
            return
        path = Path(self.mktemp()).absolute()
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for limit, written in ((1000, "1000"), (None, "5000")):
                self.assertTrue(limit_file_size(process.pid, limit))
                process.stdin.write("5000\n")
                process.stdin.flush()
                self.assertEqual(process.stdout.readline().strip(), written)
