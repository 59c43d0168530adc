"""Tab in bash, zsh and fish: what the shells themselves make of our answers, addresses above all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.compose.message_builder import build
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.live.programs.installed import needs
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.screen.screen_case import ALICE, NOW

CHECKOUT = Path(__file__).resolve().parents[3]
# The last pieces of the line as bash replaces them: all that a person would see there afterwards.
_ASK_BASH = """
. "$1"; COMP_LINE=$2; COMP_POINT=${#2}; compopt() { :; }
_emailsys_completion emailsys; printf '%s\\n' "${COMPREPLY[@]}"
"""


class CompletionTests(Case):
    """Alice wrote to bob@example.org and to Anna; she has a folder whose name has a blank."""

    def setUp(self) -> None:
        super().setUp()
        self.mailbox.archive.add_folder(Folder("alice", "Sent items"))
        anna = Mailbox("Anna \u202eBell, Ltd", parse("anna@example.net"))
        odd = Mailbox("", parse("an\u202ena@example.net"))
        draft = Draft(ALICE, [Mailbox("", parse("bob@example.org")), anna, odd], subject="x", text="x")
        self.mailbox.archive.add(Addition(build(draft, NOW).octets, Folder("alice", "Sent")))
        self.mailbox.archive.set_tags([self.first], add=["bill"])
        program = self.folder / "bin" / "emailsys"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m emailsys "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "LC_ALL": "C.UTF-8",
        }

    def shell(self, *words: str, **environment: str) -> list[str]:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**self.environment, **environment}
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def script(self, shell: str) -> str:
        path = self.folder / f"completion.{shell}"
        path.write_text(self.program("completion", shell))
        return str(path)

    def program(self, *words: str) -> str:
        return subprocess.run(
            ["emailsys", *words], capture_output=True, text=True, check=True, env=self.environment
        ).stdout

    @needs("bash")
    def test_bash_is_given_what_follows_the_pieces_it_tears_off(self) -> None:
        """bash replaces "@ex" alone; within quotes it tears nothing; a blank in a name is escaped."""
        script = self.script("bash")
        for line, wanted in (
            ("emailsys mail send --to bo", ["bob@example.org"]),
            ("emailsys mail send --to bob@", ["@example.org"]),
            ("emailsys mail send --to bob@ex", ["@example.org"]),
            ("emailsys mail send --to=bo", ["bob@example.org"]),
            ("emailsys mail send --to=bob@e", ["@example.org"]),
            ("emailsys mail send x@y.org,bob@e", ["@example.org"]),
            ("emailsys mail send 'bob@e", ["bob@example.org"]),
            ("emailsys mail send anna", ["anna@example.net"]),
            ("emailsys mail list Sent", ["Sent", "Sent\\ items"]),
            ("emailsys mail list Sent\\ ", ["Sent\\ items"]),
            ("emailsys mail list 'Sent i", ["Sent items"]),
            ("emailsys mail undel", ["undelete"]),
            ("emailsys mail outbox ", ["list", "retry", "send", "stop"]),
            ("emailsys mail search is:unr", ["unread"]),
            ("emailsys mail tag +bil", ["+bill"]),
            ("emailsys mail show " + self.first[:6], [self.first[:8]]),
        ):
            self.assertEqual(self.shell("bash", "--norc", "-c", _ASK_BASH, "-", script, line), wanted, line)

    @needs("zsh")
    def test_zsh_is_given_whole_words(self) -> None:
        """Its script needs a terminal to be run; it is read, and asked as it asks."""
        self.assertEqual(self.shell("zsh", "-f", "-n", self.script("zsh")), [])

    def test_zsh_completions_keep_the_option_and_show_the_name(self) -> None:
        asked = {"COMP_WORDS": "emailsys mail send --to=an", "COMP_CWORD": "3", "_EMAILSYS_COMPLETE": "zsh_complete"}
        self.environment.update(asked)
        self.assertEqual(self.program().splitlines(), ["plain", "--to=anna@example.net", "Anna Bell, Ltd"])

    @needs("fish")
    def test_fish_completes_lists_and_options(self) -> None:
        script = self.script("fish")
        for line, wanted in (
            ("emailsys mail send --to bob@e", ["bob@example.org\tBob"]),
            ("emailsys mail send --to=bob@e", ["--to=bob@example.org\tBob"]),
            ("emailsys mail send x@y.org,an", ["x@y.org,anna@example.net\tAnna Bell, Ltd"]),
            ("emailsys mail undel", ["undelete"]),
            ("emailsys mail search tag:bil", ["tag:bill"]),
        ):
            found = self.shell("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
            self.assertEqual([one.partition("\t")[0] if "undel" in one else one for one in found], wanted, line)
