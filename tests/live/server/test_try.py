"""`emailsys try`, as a newcomer meets it: the round trip holds, and each line that it prints works."""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import PATIENCE
from tests.live.programs.installed import needs, run

STAYS_UP = "The system keeps running"


def command(state: Path, *options: str) -> list[str]:
    """`emailsys try` on a state folder of its own, from ports that other tests are not likely to hold."""
    base = str(random.randrange(20_000, 60_000))
    return [sys.executable, "-m", "emailsys", "try", "--state", str(state), "--ports", base, *options]


class Trial:
    """An `emailsys try` that stays up."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-live-"))
        self._process = subprocess.Popen(
            command(self.folder / "state"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        atexit.register(self.close)
        self.printed = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed += line.decode()
            if STAYS_UP in self.printed:
                break
        else:
            raise AssertionError(f"try ended:\n{self.printed}")
        self.report: dict[str, Any] = json.loads((self.folder / "state" / "try" / "commands.json").read_text())

    def close(self) -> int:
        """Ctrl-C; the exit status."""
        atexit.unregister(self.close)
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(PATIENCE)
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def typed_into(line: str, typed: list[str], home: Path) -> str:
    """Run a line of shell and type into it; standard input stays open, as a terminal's does, until it has ended."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {line}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # The lines of the mail client add an account: not to those of whoever runs the tests.
        env={**os.environ, **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    try:
        process.stdin.write("".join(f"{text}\n" for text in typed).encode())
        process.stdin.flush()
        printed = process.stdout.read().decode("utf-8", "replace")
        process.stdin.close()
        process.wait()
    finally:
        alarm.cancel()
        process.stdout.close()
    return printed


class OnceTests(SynchronousTestCase):
    """`try --once` ends by itself."""

    def test_the_round_trip_holds_and_a_second_one_reuses_the_state(self) -> None:
        """Exit status 0, the same passwords, and no daemon left behind."""
        state = Path(self.mktemp()).absolute()
        state.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        first = run(command(state, "--once")).stdout.decode()
        print(f"\ntry --once: {time.monotonic() - began:.1f} s")
        report = json.loads((state / "try" / "commands.json").read_text())
        for words in ("The message is unchanged", report["queue_id"], *report["passwords"].values()):
            self.assertIn(words, first)
        fetched = (state / "try" / "message.eml").read_bytes()
        self.assertTrue(fetched.endswith((state / "try" / "submitted.eml").read_bytes()))
        run(command(state, "--once"))
        again = json.loads((state / "try" / "commands.json").read_text())
        self.assertEqual(again["passwords"], report["passwords"])
        self.assertFalse(Path(f"/proc/{again['daemon']}").exists())

    def test_the_page_of_a_trial(self) -> None:
        """Beside the usual output, and whole: both handshakes, the tree with its picture, no password."""
        state = Path(self.mktemp()).absolute()
        state.parent.mkdir(parents=True, exist_ok=True)
        page = state.with_name("flow.html")
        run(command(state, "--once", "--export", str(page)))
        text = page.read_text("utf-8")
        for words in ("How one message travels", "TLS_AES", "CertificateVerify", "field.png", "base64"):
            self.assertIn(words, text)
        report = json.loads((state / "try" / "commands.json").read_text())
        for password in report["passwords"].values():
            self.assertNotIn(password, text)

    def test_json_is_one_document(self) -> None:
        """For programs that read it."""
        state = Path(self.mktemp()).absolute()
        state.parent.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run(command(state, "--once", "--json"), capture_output=True, timeout=PATIENCE, check=True)
        self.assertIn("commands", json.loads(ended.stdout))


class ReadyMadeLineTests(SynchronousTestCase):
    """Each line that `try` prints is run against the system that printed it."""

    @needs("telnet", "openssl", "curl", "swaks")
    def test_each_line_works(self) -> None:
        """What is printed is what is run, and its output is as promised."""
        trial = Trial()
        try:
            names = [line["name"] for line in trial.report["commands"]]
            for program in ("telnet", "openssl", "curl", "swaks", "mail"):
                self.assertTrue(any(name.startswith(program) for name in names), names)
            for line in trial.report["commands"]:
                self.assertIn(line["command"], trial.printed)
                printed = typed_into(line["command"], line["typed"], trial.folder)
                self.assertTrue(re.search(line["expect"], printed), f"{line['name']}: {line['command']}\n{printed}")
            ca = trial.folder / "state" / "try" / "certs" / "ca.pem"
            self.assertTrue(ca.is_file())
        finally:
            status = trial.close()
        self.assertEqual(status, 0)
