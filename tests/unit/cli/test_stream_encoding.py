"""Every locale works: what the terminal cannot show is replaced, and file names are UTF-8."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from emailsys.cli import output, stream_encoding
from emailsys.cli.mail import safe_output
from emailsys.cli.stream_encoding import adapt_arguments, adapt_keys, adapt_streams

TEXT = "Grüße € 東京 👍 \udcff \ud800"


class StreamTests(SynchronousTestCase):
    def test_characters_that_an_encoding_lacks_are_replaced(self) -> None:
        for encoding, shown in (
            ("iso8859-1", b"Gr\xfc\xdfe ? ?? ? ? ?"),
            ("euc_jp", b"Gr\x8f\xab\xe4\x8f\xa9\xcee ? \xc5\xec\xb5\xfe ? ? ?"),
            ("utf-8", "Grüße € 東京 👍 ? ?".encode()),
            ("ascii", b"Gr??e ? ?? ? ? ?"),
        ):
            octets = io.BytesIO()
            stream = io.TextIOWrapper(octets, "utf-8", errors="strict")
            adapt_streams([stream, None], encoding)
            stream.write(TEXT)
            stream.flush()
            self.assertEqual(octets.getvalue(), shown, encoding)

    def test_json_keeps_every_character(self) -> None:
        for print_json in (output.print_json, safe_output.print_json):
            stream = io.TextIOWrapper(io.BytesIO(), "iso8859-1")
            with contextlib.redirect_stdout(stream):
                print_json({"subject": "Grüße € 👍"})
            stream.seek(0)
            self.assertEqual(json.load(stream), {"subject": "Grüße € 👍"})

    def test_arguments_are_decoded_as_the_locale_does(self) -> None:
        there = Path(self.mktemp())
        there.mkdir()
        path = os.fsencode(there / "Gr") + b"\xfc"
        Path(os.fsdecode(path)).touch()
        given = [os.fsdecode(path), os.fsdecode(b"Gr\xfc"), "plain"]
        self.assertEqual(adapt_arguments(given, "iso8859-1"), [given[0], "Grü", "plain"])
        self.assertEqual(adapt_arguments(given, None), [given[0], "Gr\ufffd", "plain"])

    def test_keys_are_decoded_as_the_locale_does(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("the console of Windows tells characters")
        from textual.drivers import linux_driver

        for encoding, character in (("iso8859-1", "ü"), (None, "\ufffd")):
            # What was there before comes back at the end of the test.
            self.patch(linux_driver, "getincrementaldecoder", None)
            self.patch(stream_encoding, "terminal_encoding", lambda encoding=encoding: encoding)
            adapt_keys()
            decoder = vars(linux_driver)["getincrementaldecoder"]("utf-8")
            self.assertEqual(decoder().decode(b"\xfc"), character)

    if sys.platform != "linux":
        # Others refuse such a name, or have no other encoding for file names.
        test_arguments_are_decoded_as_the_locale_does.skip = "Linux has file names of any octets"  # type: ignore[attr-defined]


class ProcessTests(SynchronousTestCase):
    def test_another_encoding_of_file_names_becomes_utf_8(self) -> None:
        """ASCII stands for the locales that this system may not have."""
        if sys.platform == "win32" or sys.platform == "darwin":
            raise SkipTest("file names are always UTF-8")
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        program = (
            "import sys; from emailsys.cli.stream_encoding import adapt_process; adapt_process();"
            "print(sys.getfilesystemencoding(), sys.argv[1:], '\\u20ac', '\\udc80')"
        )
        words = [sys.executable, "-c", program, "a b", "c"]
        done = subprocess.run(words, env=environment, capture_output=True, check=False)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(done.stdout.decode(), "utf-8 ['a b', 'c'] € ?\n")
        narrow = {**environment, "PYTHONIOENCODING": "iso8859-1"}
        done = subprocess.run(words, env=narrow, capture_output=True, check=False)
        self.assertEqual((done.stdout, done.stderr), (b"utf-8 ['a b', 'c'] ? ?\n", b""))
