"""Every lesson, without and with its protection: switching the protection off flips the verdict."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.lab.systems import LabDaemons
from emailsys.lab.base.stage import Pki
from emailsys.lab.play import play_side
from emailsys.lab.table import all_lessons
from emailsys.wiretap.conversation import Conversation, Kind
from tests.live.programs.daemon import PATIENCE


class LessonTests(SynchronousTestCase):
    """The lessons share daemons with the same settings."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="emailsys-live-"))
        self.addCleanup(shutil.rmtree, folder)
        self.pki = Pki(folder / "certs")
        self.daemons = LabDaemons(folder, self.pki)
        self.addCleanup(self.daemons.stop)

    def test_the_protection_decides_the_verdict(self) -> None:
        """Harm without it, none with it; each side shows conversations, and survives JSON."""
        for lesson in all_lessons():
            for is_protected in (False, True):
                side = play_side(lesson, is_protected, self.daemons, self.pki)
                told = f"{lesson.name}, {is_protected=}: {side.result.evidence}"
                self.assertEqual(side.result.harmed, not is_protected, told)
                self.assertTrue(side.as_expected)
                shown = [one for step in side.result.steps for one in step.conversations]
                self.assertTrue(shown, told)
                for conversation in shown:
                    self.assertGreater(len(conversation.events), 3, told)
                    self.assertEqual(conversation.events[0].kind, Kind.OPENED)
                    self.assertEqual(
                        len(Conversation.from_json(conversation.to_json()).events), len(conversation.events)
                    )
                json.dumps(side.to_json())


class CommandTests(SynchronousTestCase):
    """`emailsys lab run` as a program."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-live-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.environ = {**os.environ, "TMPDIR": str(self.folder)}

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "emailsys", "lab", "run", "starttls-stripped", *options]
        return subprocess.Popen(
            command, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def test_a_lesson_ends_with_0_and_leaves_nothing(self) -> None:
        """One JSON document; no daemon, no folder."""
        process = self.start("--json")
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, err)
        (report,) = json.loads(out)
        self.assertTrue(report["as_expected"])
        self.assertEqual([side["harmed"] for side in report["sides"]], [True, False])
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_projector_waits_for_enter_after_each_step(self) -> None:
        """Six steps: the beginning, what was seen and the verdict on each side, the end."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        os.write(ours, b"\n" * 6)
        command = [sys.executable, "-m", "emailsys", "lab", "run", "forged-from", "--pause"]
        done = subprocess.run(command, env=self.environ, stdin=theirs, capture_output=True, check=False)
        os.close(theirs)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(b"Press Enter"), 6)
        self.assertNotIn(b"\x1b", done.stdout)

    def test_sigterm_ends_the_daemon_and_removes_the_folder(self) -> None:
        """Also while a daemon starts."""
        process = self.start()
        assert process.stdout is not None
        with process.stdout, process.stderr or process.stdout:
            # The beginning is printed before the first daemon is started.
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 130)
        self.assertEqual(list(self.folder.iterdir()), [])
