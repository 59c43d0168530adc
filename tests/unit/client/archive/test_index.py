"""The index of the local store."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index import open_index


class ConnectionTests(SynchronousTestCase):
    """The connections of an index."""

    def test_a_statement_under_way_ends_with_its_result(self) -> None:
        """One thread closes the index while another uses it, as at the end of the program."""
        index = open_index(Path(self.mktemp()))
        entered, released = threading.Event(), threading.Event()
        found: list[object] = []

        def wait() -> int:
            entered.set()
            return int(released.wait(60))

        def read() -> None:
            index.connection.create_function("wait", 0, wait)
            found.extend(index.connection.execute("SELECT wait()").fetchone())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            self.assertTrue(entered.wait(60))
            index.close()
        finally:
            released.set()
            reader.join()
        self.assertEqual(found, [1])

    def test_an_index_that_cannot_be_opened_is_one_error(self) -> None:
        """Python prints a traceback for an exception in `__del__`."""
        unraisable: list[object] = []
        self.patch(sys, "unraisablehook", unraisable.append)
        self.assertRaises(sqlite3.OperationalError, open_index, Path(self.mktemp()) / "missing" / "index")
        self.assertEqual(unraisable, [])
