"""Commands that get mail: what they are given, what becomes of their exit statuses, and how they are ended."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import IO, Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase
from typing_extensions import override

from emailsys.daemon.outbound import in_own_thread
from emailsys.delivery.pipes import PipeRelay
from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.mail.next_hop import NextHop
from emailsys.mail.pipe import Pipe, read_command
from emailsys.mail.reply import BROKEN_OFF, LEASE_UNCERTAIN, LOCAL_ERROR, MESSAGE_DAMAGED
from emailsys.mail.transmission import Outcome, Transmission
from emailsys.platforms.commands import Command, Ended
from emailsys.platforms.users import is_root
from tests.fakes.net.memory_hosts import pieces_of, quiet, transmission
from tests.fakes.net.smtp_house import Events

reactor: Any = _reactor

# Commands never run as root.
USER = "nobody" if is_root() else ""


def script(text: str, *arguments: str, user: str = USER, time_limit: float = 60.0) -> Pipe:
    """A command that is a script of the shell."""
    return Pipe(" ".join(("/bin/sh", "-c", quote(text), "script", *arguments)), user, time_limit)


@unittest.skipIf(os.name == "nt", "Windows has no process groups")
class PipeTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.ended: list[Ended] = []
        self.started: list[Deferred[None]] = []
        self.running = self.most = 0
        self.spool: Callable[[], IO[bytes]] = tempfile.TemporaryFile
        self.relay = PipeRelay(reactor, Command, self.in_thread, lambda: self.spool(), 2, quiet())
        self.addCleanup(self.relay.close)

    def in_thread(self, run: Callable[[], Any]) -> Deferred[Any]:
        """Run it in a thread, and note how it ended."""
        self.running += 1
        self.most = max(self.most, self.running)

        def note(result: Any) -> Any:
            self.running -= 1
            if isinstance(result, Ended):
                self.ended.append(result)
            return result

        return in_own_thread(reactor, run).addBoth(note)

    def begin(self, pipe: Pipe, message: Transmission | None = None) -> Deferred[Any]:
        hop = NextHop(str(pipe), pipe=pipe)
        return Deferred.fromCoroutine(self.relay.relay(hop, message or transmission()))

    async def send(self, pipe: Pipe, message: Transmission | None = None) -> Outcome:
        outcomes: list[Outcome] = await self.begin(pipe, message)
        self.assertEqual(len(outcomes), len((message or transmission()).recipients))
        return outcomes[0]

    async def test_the_exit_status_decides(self) -> None:
        """As Postfix's pipe(8) reads it, but a mistake of the operator or of the command returns no mail.

        A status at the beginning of the output counts more.
        """
        for text, kind, enhanced, words, at_fault in (
            ("exit 0", "delivered", "2.0.0", "took the message", False),
            ("echo 5.1.1 no; echo ticket 12", "delivered", "2.0.0", "took the message: ticket 12", False),
            (
                "echo of no use; exit 64",
                "delayed",
                "4.3.0",
                "exit status 64, command line usage error: of no use",
                False,
            ),
            ("exit 67", "failed", "5.1.1", "exit status 67, user unknown", False),
            ("exit 71", "delayed", "4.3.0", "exit status 71, system resource problem", False),
            ("echo later >&2; exit 75", "delayed", "4.3.0", "exit status 75, temporary failure: later", False),
            ("exit 77", "failed", "5.7.0", "exit status 77, permission denied", False),
            ("echo Traceback; echo Error: x; exit 1", "delayed", "4.3.0", "exit status 1: Error: x", False),
            ("exit 2", "delayed", "4.3.0", "exit status 2", False),
            ("exit 70", "delayed", "4.3.0", "exit status 70, internal software error", False),
            ("exit 72", "delayed", "4.3.5", "exit status 72, critical system file missing", True),
            ("exit 73", "delayed", "4.2.0", "exit status 73, cannot create output file", False),
            ("exit 78", "delayed", "4.3.5", "exit status 78, local configuration error", True),
            ("exit 79", "delayed", "4.3.0", "exit status 79", False),
            ("sh -c 'kill -9 $$'; exit $?", "delayed", "4.3.0", "exit status 137, ended by signal 9", False),
            ("exit 255", "delayed", "4.3.0", "exit status 255", False),
            ("echo 4.2.2 the tray is full; exit 1", "delayed", "4.2.2", "exit status 1: the tray is full", False),
            ("echo 5.7.1 not you; exit 75", "failed", "5.7.1", "exit status 75: not you", False),
            ("no-such-program", "delayed", "4.3.5", "exit status 127, a program was not found", True),
            ("kill -9 $$", "delayed", "4.3.0", "was ended by signal 9", False),
            (r"printf '\033[2J\0\377x'; exit 69", "failed", "5.3.0", "service unavailable: ?[2J?\ufffdx", False),
        ):
            outcome = await self.send(script(text))
            self.assertEqual((outcome.kind.value, outcome.reply.enhanced), (kind, enhanced), text)
            self.assertTrue(outcome.reply.text.startswith("pipe:/bin/sh: "))
            self.assertIn(words, outcome.reply.text)
            self.assertEqual((outcome.route_at_fault, outcome.in_doubt), (at_fault, False), text)

    async def test_a_command_gets_the_message_and_its_envelope(self) -> None:
        """With Unix's line ends, and nothing else of ours: no descriptors, no environment, no rights of root."""
        os.environ["EMAILSYS_TEST_SECRET"] = "geheim"
        self.addCleanup(os.environ.pop, "EMAILSYS_TEST_SECRET")
        body = pieces_of(b"Subject: x\r", b"\n\r\n.one\r\ntw", b"o\r\n", b"\r", b"\n")
        message = transmission("j.d+x@example.net", sender="a'b@example.test", pieces=body)
        told = 'cat; echo "$@"; ls /proc/self/fd | wc -l; id -u; id -G; pwd; umask; cut -d" " -f6 /proc/self/stat; env'
        arguments = ("${sender}", "--to=${recipient}", "${mailbox}/${domain}", "${queue_id}", "'$HOME `id`'")
        outcome = await self.send(script(told, *arguments), message)
        self.assertEqual(outcome.kind.value, "delivered")
        text = self.ended[0].output.decode()
        head = "Return-Path: <a'b@example.test>\nDelivered-To: j.d+x@example.net\n"
        self.assertTrue(text.startswith(f"{head}Subject: x\n\n.one\ntwo\n\n"), text)
        said = "a'b@example.test --to=j.d+x@example.net j.d+x/example.net Q1 $HOME `id`\n"
        self.assertIn(said, text)
        after = text.partition(said)[2].split("\n")
        # Of a pipeline's first program: three descriptors, and that of the folder.
        self.assertEqual(after[0], "4")
        self.assertNotEqual(after[1], "0")
        self.assertNotIn("0", after[2].split() if USER else [])
        self.assertEqual(after[3:5], ["/", "0077"])
        self.assertNotEqual(after[5], own_session())
        variables = dict(line.split("=", 1) for line in after[6:] if line)
        self.assertEqual(set(variables) - {"PWD", "OLDPWD", "_", "SHLVL"}, {*NAMES})
        self.assertEqual([variables[name] for name in NAMES[2:5]], ["a'b@example.test", "j.d+x@example.net", "Q1"])

        self.ended.clear()
        await self.send(script("env"), transmission("bob@example.net", sender=None))
        self.assertIn("SENDER=\n", self.ended[0].output.decode())

    async def test_what_runs_too_long_or_writes_too_much_ends_with_its_group(self) -> None:
        """Processes in the background, too, and after an end that is as it should be."""
        groups: list[int] = []

        class Noted(Command):
            """Notes its process group: what is ended at once has perhaps written nothing."""

            @override
            def _start(self) -> subprocess.Popen[bytes]:
                process = super()._start()
                groups.append(process.pid)
                return process

        self.relay = PipeRelay(reactor, Noted, self.in_thread, lambda: self.spool(), 2, quiet())
        for text, words in (
            ("sleep 999 & sleep 999 & trap '' TERM; wait", "was ended after 0.3 s"),
            ("exec yes", "was ended, because it wrote more than 1 MiB"),
            ("yes & sleep 999", "was ended, because it wrote more than 1 MiB"),
            ("(sleep 999; true) & exit 0", "took the message"),
            ("exec <&- >&- 2>&-; sleep 999", "was ended after 0.3 s"),
        ):
            self.ended.clear()
            outcome = await self.send(script(text, time_limit=0.3 if "after" in words else 60.0))
            self.assertIn(words, outcome.reply.text)
            ended = words.startswith("was ended")
            self.assertEqual((outcome.kind.value, outcome.in_doubt), ("delayed" if ended else "delivered", ended))
            [run] = self.ended
            self.assertLessEqual(len(run.output), 65536)
            await self.is_gone(groups.pop())

    @unittest.skipUnless(sys.platform == "linux", "only Linux shows the environment of processes")
    async def test_what_leaves_the_group_of_a_command_ends_with_it(self) -> None:
        """Also by two forks, as a daemon does, whose process has no parent among ours any more."""
        escapes = "setsid sh -c 'echo $$; kill -STOP $$'"
        for text in (f"{escapes} &", f"({escapes} &);"):
            self.ended.clear()
            # The command ends when the other has written its number.
            outcome = await self.send(script(f"{{ {text} }} | {{ read number; echo $number; }}"))
            self.assertEqual(outcome.kind.value, "delivered")
            [run] = self.ended
            while is_running(int(run.output)):
                await wait()

    async def is_gone(self, group: int) -> None:
        """Wait until no process of a group runs. What was killed may take a moment to vanish."""
        while running(group):
            await wait()

    async def test_a_command_that_cannot_be_run_delays_all_mail(self) -> None:
        root = [("", "never run as root"), ("root", "never run as root")] if is_root() else []
        others = [] if is_root() else [("root", "never run as root"), ("nobody", "is not root, and cannot")]
        for pipe, words in (
            (Pipe("/no/such/program", USER), "No such file"),
            (Pipe("/etc/passwd", USER), "Permission denied"),
            (script("exit 0", user="no-such-user"), "there is no user no-such-user"),
            *((script("exit 0", user=user), words) for user, words in root + others),
        ):
            outcome = await self.send(pipe)
            self.assertEqual((outcome.kind.value, outcome.reply.enhanced), ("delayed", "4.3.5"), words)
            self.assertTrue(outcome.route_at_fault and outcome.host_at_fault)
            self.assertIn(words, outcome.reply.text)
        self.assertEqual(self.ended, [])

    async def test_an_unexpected_exception_concerns_one_recipient(self) -> None:
        class Fails(Command):
            @override
            def run(self) -> Ended:
                self._message.close()
                raise ValueError("embedded null byte")

        def make_run(arguments: Sequence[str], *others: Any) -> Command:
            return (Fails if "b@example.net" in arguments else Command)(arguments, *others)

        events = Events()
        self.relay = PipeRelay(reactor, make_run, self.in_thread, tempfile.TemporaryFile, 2, events)
        to = [f"{name}@example.net" for name in "abc"]
        outcomes = await self.begin(script("exit 0", "${recipient}"), transmission(*to))
        self.assertEqual([outcome.kind.value for outcome in outcomes], ["delivered", "delayed", "delivered"])
        self.assertEqual([str(error) for error in events.exceptions], ["embedded null byte"])

    async def test_without_a_thread_for_it_the_mail_waits(self) -> None:
        """What was delivered to the other recipients is known nevertheless."""
        in_thread, thread = self.in_thread, threading.Thread

        def no_thread(run: Callable[[], Any]) -> Deferred[Any]:
            self.patch(threading, "Thread", thread if self.most == 0 else Refused)
            return in_thread(run)

        self.relay = PipeRelay(reactor, Command, no_thread, tempfile.TemporaryFile, 2, quiet())
        [delivered, waits] = await self.begin(script("exit 0"), transmission("a@example.net", "b@example.net"))
        self.assertEqual((delivered.kind.value, waits.kind.value), ("delivered", "delayed"))
        self.assertIn("can't start new thread", waits.reply.text)

    async def test_no_address_is_an_option(self) -> None:
        pipe = script("exit 0", "${recipient}")
        [failed, delivered] = await self.begin(pipe, transmission("-oQ/tmp@example.net", "bob@example.net"))
        self.assertEqual((failed.kind.value, failed.reply.enhanced), ("failed", "5.1.3"))
        self.assertEqual(delivered.kind.value, "delivered")
        for arguments in (("--", "${recipient}"), ("--to=${recipient}",)):
            outcome = await self.send(script("exit 0", *arguments), transmission("-x@example.net"))
            self.assertEqual(outcome.kind.value, "delivered")

    async def test_few_run_at_the_same_time(self) -> None:
        to = [f"r{number}@example.net" for number in range(5)]
        outcomes = await gatherResults([self.begin(script("exit 0"), transmission(*to)) for _ in range(2)])
        self.assertEqual([outcome.kind.value for each in outcomes for outcome in each], ["delivered"] * 10)
        self.assertEqual((self.most, len(self.ended)), (2, 10))

    async def test_a_message_that_cannot_be_read_is_given_to_no_command(self) -> None:
        def full() -> IO[bytes]:
            raise OSError(errno.ENOSPC, "No space left on device")

        for error, reply, hold in ((StoreDamaged("x"), MESSAGE_DAMAGED, True), (StoreError("x"), LOCAL_ERROR, False)):
            outcome = await self.send(script("exit 0"), transmission(pieces=failing(error)))
            self.assertEqual((outcome.reply, outcome.hold, outcome.kind.value), (reply, hold, "delayed"))
        self.spool = full
        self.assertEqual((await self.send(script("exit 0"))).reply, LOCAL_ERROR)
        self.assertEqual(self.ended, [])

    async def test_a_message_whose_lease_is_uncertain_is_given_to_no_command(self) -> None:
        outcome = await self.send(script("exit 0"), replace(transmission(), may_end=lambda: False))
        self.assertEqual((outcome.reply, outcome.cut_short), (LEASE_UNCERTAIN, True))

    async def test_what_is_cancelled_or_stopped_ends(self) -> None:
        attempt = self.begin(script("echo $$; sleep 999"), transmission("a@example.net", "b@example.net"))
        while self.running < 2:
            await wait()
        attempt.cancel()
        await self.assertFailure(attempt, CancelledError)

        self.relay = PipeRelay(reactor, Command, self.in_thread, tempfile.TemporaryFile, 1, quiet())
        before = self.running
        attempt = self.begin(script("sleep 999"), transmission("a@example.net", "b@example.net"))
        while self.running == before:
            await wait()
        self.relay.shut_down(0.0)
        # The queue cancels what has no outcome then.
        reactor.callLater(0.0, attempt.cancel)
        [ended, waited] = await attempt
        self.assertEqual((ended.reply, ended.in_doubt, ended.cut_short), (BROKEN_OFF, True, False))
        self.assertEqual((waited.reply, waited.cut_short), (BROKEN_OFF, True))

    async def test_no_command_begins_during_a_shutdown(self) -> None:
        """Its message was being read when the shutdown began. The attempt does not count."""
        file = io.BytesIO()
        self.spool = lambda: file

        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            self.relay.shut_down(0.0)

        outcome = await self.send(script("exit 0"), transmission(pieces=pieces))
        self.assertEqual((outcome.reply, outcome.cut_short, outcome.host_at_fault), (BROKEN_OFF, True, True))
        self.assertEqual((file.closed, self.most), (True, 0))


class Refused(threading.Thread):
    """A thread for which the system has no room."""

    @override
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


NAMES = ["PATH", "LANG", "SENDER", "RECIPIENT", "QUEUE_ID", "EMAILSYS_RUN"]


def own_session() -> str:
    """The session of this process, as the kernel shows it."""
    return Path("/proc/self/stat").read_text().split()[5]


def running(group: int) -> list[str]:
    """The processes of a group, without those that have ended and wait for process 1 of this machine."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    processes = [line.split() for line in listed.splitlines()]
    return [state for number, state in processes if int(number) == group and not state.startswith("Z")]


def is_running(number: int) -> bool:
    """Whether a process runs. One that has ended may wait for process 1 of this machine."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")


async def wait() -> None:
    """Let the reactor and the threads go on."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0.01, done.callback, None)
    await done


def failing(error: Exception) -> Callable[[], AsyncIterator[bytes]]:
    """A message that cannot be read."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        raise error

    return pieces


class ValueTests(SynchronousTestCase):
    def test_commands(self) -> None:
        for text in ("/bin/x", "/bin/x 'a b' --to=${recipient}", '/bin/x "${mailbox}"/$HOME'):
            self.assertEqual(read_command(f"pipe: {text} "), text)
        for text in ("", "x", "./x", "/bin/${sender}", "/bin/x ${user}", "/bin/x 'a", "/bin/x\ny", "/x " + "y" * 2000):
            self.assertIsNone(read_command(f"pipe:{text}"), text)

    def test_a_script_names_no_address(self) -> None:
        """The recipient "`reboot`"@tickets.example would be code for the shell."""
        for start in ("/bin/sh -c", "/usr/bin/env bash -ec", "/usr/bin/python3.13 -Ic", "/bin/su tickets -c"):
            self.assertIsNone(read_command(f"pipe:{start} 'tickets ${{recipient}}'"))
            for passed in ("'tickets \"$1\"' x ${recipient}", "'tickets \"$RECIPIENT\"'"):
                self.assertEqual(read_command(f"pipe:{start} {passed}"), f"{start} {passed}")
        for text in ("/bin/tickets -c ${recipient}", "/bin/tickets.sh -c ${recipient}", "/bin/sh -c 'x ${size}'"):
            self.assertEqual(read_command(f"pipe:{text}"), text)

    def test_the_arguments_are_not_shown(self) -> None:
        self.assertEqual(str(Pipe("/bin/x --password geheim")), "pipe:/bin/x")
