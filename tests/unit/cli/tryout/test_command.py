"""The parts of `try`: dialogue with a server, free ports, stored passwords."""

from __future__ import annotations

import json
import random
import shlex
import socket
import ssl
import threading
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.main import program
from emailsys.cli.options import Refused
from emailsys.cli.tryout import round_trip
from emailsys.cli.tryout.command import PORTS, free_ports, kept_passwords, start_on_free_ports
from emailsys.cli.tryout.daemon_process import RunningDaemon
from emailsys.cli.tryout.dialogue import Dialogue, DialogueFailed, Transcript, dialogue
from emailsys.cli.tryout.round_trip import ALICE, BOB, compose, stuffed
from emailsys.cli.tryout.sample_commands import ready_made
from emailsys.config.exit_status import Exit
from emailsys.control.requests import Status
from emailsys.supervisor import FolderLock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class DialogueTests(SynchronousTestCase):
    """A dialogue with checked replies and a transcript."""

    def connect(self, *sent: bytes) -> tuple[Dialogue, Transcript]:
        """Return a dialogue with a server that sent these octets and closed the connection."""
        ours, theirs = socket.socketpair()
        theirs.sendall(b"".join(sent))
        theirs.shutdown(socket.SHUT_WR)
        self.addCleanup(theirs.close)
        ours.settimeout(60.0)
        transcript = Transcript("a test")
        speaker = Dialogue(ours, transcript)
        self.addCleanup(speaker.close)
        return speaker, transcript

    def test_the_transcript_has_both_sides_but_no_secret(self) -> None:
        """The transcript has no secrets, because users may share it."""
        speaker, transcript = self.connect(b"220-one\r\n220 two\r\n", b"235 2.7.0 logged in\r\n")
        self.assertEqual(speaker.reply("220"), "220-one\n220 two")
        speaker.ask("AUTH PLAIN c2VjcmV0", "235", shown="AUTH PLAIN ...")
        self.assertEqual(
            transcript.lines,
            [("S", "220-one"), ("S", "220 two"), ("C", "AUTH PLAIN ..."), ("S", "235 2.7.0 logged in")],
        )

    def test_another_reply_than_was_due_is_reported_with_both_sides(self) -> None:
        """This applies to SMTP and to POP3."""
        speaker, _ = self.connect(b"550 5.1.1 no such mailbox here\r\n-ERR no\r\n")
        with self.assertRaises(DialogueFailed) as caught:
            speaker.ask("RCPT TO:<x@y>", "250")
        self.assertEqual(
            str(caught.exception),
            "after 'RCPT TO:<x@y>' the server answered '550 5.1.1 no such mailbox here'; expected 250",
        )
        with self.assertRaises(DialogueFailed):
            speaker.ok()

    def test_a_server_that_hangs_up_is_reported(self) -> None:
        """The connection ends at the beginning or in the middle of a line."""
        for sent in (b"", b"220 localh"):
            speaker, _ = self.connect(sent)
            with self.assertRaises(DialogueFailed) as caught:
                speaker.reply("220")
            self.assertIn("closed the connection after 'connecting'", str(caught.exception))

    def test_a_message_comes_back_unstuffed(self) -> None:
        """RFC 1939 §3."""
        speaker, _ = self.connect(b"a\r\n..\r\n..b\r\n\r\n.\r\n+OK next\r\n")
        self.assertEqual(speaker.body(), b"a\r\n.\r\n.b\r\n\r\n")
        self.assertEqual(speaker.ok(), "+OK next")

    def test_a_refused_connection_is_reported_with_its_port(self) -> None:
        """The connection is refused."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with self.assertRaises(DialogueFailed) as caught, dialogue("127.0.0.1", port, Transcript("x")):
                self.fail("nobody listens")
        self.assertIn(f"port {port}", str(caught.exception))

    def test_a_server_without_tls_is_reported(self) -> None:
        """The server sends text instead of a TLS handshake."""
        speaker, _ = self.connect(b"220 this is no handshake\r\n")
        with self.assertRaises(DialogueFailed) as caught:
            speaker.start_tls(ssl.create_default_context(), "localhost")
        self.assertIn("TLS with localhost", str(caught.exception))

    def test_what_is_recorded_has_no_secrets(self) -> None:
        """Lines with their sizes; passwords are masked, of messages only the size is kept."""
        speaker, transcript = self.connect(b"220 a\r\n235 b\r\n+OK\r\nhidden\r\n.\r\n")
        speaker.reply("220")
        speaker.ask("AUTH PLAIN c2VjcmV0", "235", shown="AUTH PLAIN (hidden)")
        speaker.say("PASS secret")
        speaker.ok()
        speaker.body()
        speaker.send(b"Subject: secret\r\n.\r\n", "a message")
        speaker.close()
        talk = transcript.conversation()
        self.assertEqual(
            [(event.kind.value, event.text, event.octets) for event in talk.events],
            [
                ("opened", "", 0),
                ("reply", "220 a", 7),
                ("command", "AUTH PLAIN [masked]", 21),
                ("reply", "235 b", 7),
                ("command", "PASS [masked]", 13),
                ("reply", "+OK", 5),
                ("body", "", 11),
                ("body", "", 20),
                ("closed", "", 0),
            ],
        )
        self.assertTrue(talk.closed)
        for word in ("secret", "c2VjcmV0", "hidden"):
            self.assertNotIn(word, json.dumps(talk.to_json()))

    def test_a_server_without_tls_is_reported_by_the_recorded_one_too(self) -> None:
        """Text instead of a handshake, and nothing at all."""
        for sent in (b"220 this is no handshake\r\n", b""):
            speaker, _ = self.connect(sent)
            with self.assertRaises(DialogueFailed) as caught:
                speaker.start_recorded_tls(SSL.Context(SSL.TLS_CLIENT_METHOD), "localhost")
            self.assertIn("TLS with localhost", str(caught.exception))


class RoundTripTests(SynchronousTestCase):
    """The message, and its comparison after the round trip."""

    def test_the_message_is_a_whole_one_with_what_goes_wrong_in_mail(self) -> None:
        """The message has lines that begin with a dot and an attachment with all octets, but no trace fields."""
        octets = compose(NOW)
        self.assertNotRegex(octets, rb"(?<!\r)\n|\r(?!\n)")
        self.assertRegex(octets, rb"\r\n\.\r\n")
        message = message_from_bytes(octets, policy=policy.default)
        self.assertEqual((message["From"], message["To"]), (ALICE, BOB))
        self.assertTrue(message["Date"])
        self.assertTrue(message["Message-ID"])
        (attachment,) = message.iter_attachments()
        self.assertEqual(attachment.get_content(), bytes(range(256)) * 16)

    def test_a_message_is_stuffed_and_ended_with_a_dot(self) -> None:
        """RFC 5321 §4.5.2."""
        self.assertEqual(stuffed(b".a\r\nb\r\n.\r\n"), b"..a\r\nb\r\n..\r\n.\r\n")

    def test_the_fields_in_front_are_named_and_anything_else_fails(self) -> None:
        """If one octet differs, the round trip has failed."""
        message = b"Subject: x\r\n\r\ny\r\n"
        front = b"Return-Path: <a@b>\r\nReceived: from c\r\n\tby d; e\r\n"
        self.assertEqual(round_trip._names_in_front(message, front + message), ("Return-Path", "Received"))
        for fetched in (
            front + message + b"\r\n",
            front + message.replace(b"y", b"z"),
            b"garbage\r\n" + front + message,
            b"Return-Path: <a@b>\r\n" + message,
        ):
            with self.assertRaises(DialogueFailed):
                round_trip._names_in_front(message, fetched)


class PortTests(SynchronousTestCase):
    """The ports of `try`."""

    def test_each_service_has_its_port_above_the_base_or_the_next_free_one(self) -> None:
        """If a port is in use, only its own service moves to another one."""
        base = next(
            base
            # Below the ports that the kernel gives to clients, and not where another run of this test looks first.
            for base in random.sample(range(10_000, 29_000), 1_000)
            if free_ports(base) == {service: base + offset for service, offset in PORTS.items()}
        )
        with socket.socket() as other:
            other.bind(("127.0.0.1", base + PORTS["submission"]))
            other.listen()
            ports = free_ports(base)
        self.assertGreater(ports.pop("submission"), base + PORTS["submission"])
        self.assertEqual(ports, {service: base + offset for service, offset in PORTS.items() if service in ports})

    def test_a_port_that_is_taken_before_the_daemon_starts_is_replaced(self) -> None:
        """Two trials that begin at the same moment find the same ports free."""
        folder = Path(self.mktemp())
        folder.mkdir()
        in_use = Refused("the daemon does not start: listen.smtp: 127.0.0.1:2525 is already in use by x")
        outcomes: list[Refused | None] = [in_use, None]
        daemon = RunningDaemon(folder, folder / "emailsys.toml", folder / "daemon.log")

        def start(_: RunningDaemon) -> None:
            outcome = outcomes.pop(0)
            if outcome is not None:
                raise outcome

        self.patch(RunningDaemon, "start", start)
        ports = start_on_free_ports(daemon, folder, random.randrange(10_000, 29_000))
        self.assertEqual(outcomes, [])
        self.assertIn(f"localhost:{ports['smtp']}", (folder / "emailsys.toml").read_text())
        for refusals in ([in_use] * 3, [Refused("the daemon does not start: the disk is full")]):
            outcomes.extend(refusals)
            with self.assertRaises(Refused):
                start_on_free_ports(daemon, folder, random.randrange(10_000, 29_000))
            self.assertEqual(outcomes, [])

    def test_no_free_port_is_reported(self) -> None:
        """There is no port above 65535."""
        with self.assertRaises(Refused) as caught:
            free_ports(65_400)
        self.assertEqual(caught.exception.status, Exit.UNAVAILABLE)


class PasswordTests(SynchronousTestCase):
    """The passwords of alice and bob."""

    def test_passwords_of_the_trial_are_random_and_kept_for_the_next_try(self) -> None:
        """Only the owner may read the file."""
        path = Path(self.mktemp())
        first, new = kept_passwords(path)
        self.assertTrue(new)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(kept_passwords(path), (first, False))
        self.assertNotEqual(first[ALICE], first[BOB])
        self.assertRegex(first[ALICE], r"\A(?:[a-z0-9]{4}-){3}[a-z0-9]{4}\Z")

    def test_a_damaged_file_is_made_anew(self) -> None:
        """A file that is cut or has other contents is replaced."""
        path = Path(self.mktemp())
        for text in ("", "{", "[]", json.dumps({ALICE: "x"}), "\x00"):
            path.write_text(text)
            passwords, new = kept_passwords(path)
            self.assertTrue(new)
            self.assertEqual(set(passwords), {ALICE, BOB})


class ReadyMadeTests(SynchronousTestCase):
    """The printed commands."""

    def test_names_with_spaces_are_quoted(self) -> None:
        """The name of the state folder may have spaces and quotes."""
        state = Path("/tmp/a state's")
        ca, message = state / "certs" / "ca.pem", state / "m.eml"
        lines = ready_made(dict.fromkeys(PORTS, 2525), {ALICE: "a b", BOB: "c"}, ca, message)
        self.assertEqual(len({line.name for line in lines}), len(lines))
        for line in lines:
            words = shlex.split(line.command)
            if line.name in ("queue", "trace"):
                self.assertIn(str(state), words)
            elif not line.name.startswith("telnet") and line.name != "mail-fetch":
                self.assertIn(str(ca), words)
        self.assertIn(str(message), shlex.split(next(line.command for line in lines if line.name == "curl-send")))

    def test_a_letter_says_to_whom_it_goes(self) -> None:
        """The header of the sample message names the same addresses as its envelope."""
        for line in ready_made(dict.fromkeys(PORTS, 1), {ALICE: "a", BOB: "b"}, Path("c"), Path("m")):
            to = {text.partition("<")[2].rstrip(">") for text in line.typed if text.startswith("rcpt")}
            self.assertEqual({text[4:] for text in line.typed if text.startswith("To: ")}, to, line.name)

    def test_every_letter_typed_ends_with_quit(self) -> None:
        """The program and a CI run end then."""
        for line in ready_made(dict.fromkeys(PORTS, 1), {ALICE: "a", BOB: "b"}, Path("c"), Path("m")):
            if line.typed:
                self.assertEqual(line.typed[-1], "quit")
                self.assertFalse([text for text in line.typed if text.startswith(("R", "Q", "K"))])


class StartTests(SynchronousTestCase):
    """A daemon that does not start, and a folder that is in use."""

    def test_a_daemon_that_does_not_start_is_told_in_its_own_words(self) -> None:
        """`try` passes on the exit status."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(mode=0o700)
        config = folder / "emailsys.toml"
        config.write_text("nonsense = 1\n")
        daemon = RunningDaemon(folder, config, folder / "daemon.log")
        self.addCleanup(daemon.stop)
        self.assertEqual(daemon.pid, 0)
        with self.assertRaises(Refused) as caught:
            daemon.start()
        self.assertEqual(caught.exception.status, Exit.CONFIG)
        self.assertIn("nonsense: found an unknown key", caught.exception.message)
        with self.assertRaises(Refused):
            daemon.ask(Status())

    def test_a_second_try_on_the_folder_names_the_process(self) -> None:
        """The first one keeps running."""
        state = Path(self.mktemp()).absolute()
        (state / "try").mkdir(parents=True, mode=0o700)
        state.chmod(0o700)
        lock = FolderLock.take(state / "try", "try.lock")
        self.addCleanup(lock.release)
        ended: list[BaseException] = []

        def again() -> None:
            try:
                program.main(["try", "--state", str(state), "--once"], standalone_mode=False)
            except BaseException as error:
                ended.append(error)

        # In a thread: signals are not touched before the lock is taken.
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
        (error,) = ended
        self.assertIn("emailsys try already runs there, as process", str(error))
