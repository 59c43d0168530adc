"""Ctrl-C while another program has the terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.base.ctrl_c import ctrl_c_left_to_child
from emailsys.client.opening import programs
from emailsys.client.screen import own_terminal

#: Python code of a program that gets Ctrl-C with its parent, as from a terminal, and still does its work.
_CHILD = "import os, signal; signal.signal(signal.SIGINT, lambda *_: None); os.kill(os.getppid(), signal.SIGINT)"


class CtrlCTests(SynchronousTestCase):
    if sys.platform == "win32":
        skip = "Windows sends no signal to a process alone"

    def run_child(self) -> int:
        return subprocess.run((sys.executable, "-c", _CHILD), check=False).returncode

    def test_the_other_program_goes_on_and_the_handler_is_back(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with ctrl_c_left_to_child():
            self.assertEqual(self.run_child(), 0)
        self.assertIs(signal.getsignal(signal.SIGINT), before)

    def test_a_browser_and_an_editor_are_left_alone(self) -> None:
        class App:
            def suspend(self) -> object:
                return nullcontext()

        programs.start(programs.Program((sys.executable, "-c", _CHILD), needs_terminal=True))
        self.assertEqual(own_terminal._suspended(App(), self.run_child), 0)  # type: ignore[arg-type]

    def test_other_threads_change_no_handler(self) -> None:
        entered = []

        def work() -> None:
            with ctrl_c_left_to_child():
                entered.append(signal.getsignal(signal.SIGINT))

        before = signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(entered, [before])
