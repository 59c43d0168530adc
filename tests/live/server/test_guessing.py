"""An attacker guesses passwords and recipients against a running daemon, from addresses of this machine."""

from __future__ import annotations

import select
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import Daemon, User, shared
from tests.live.programs.wire import Wire, plain

CONFIG = "[limits]\nexempt_loopback = false\n[login]\nhashing_threads = 1\n"
# No password has this hash. To find that out takes a second of one core.
SLOW_HASH = "$argon2id$v=19$m=65536,t=40,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43
# The start of a reply that answers a guess, for each protocol.
ANSWERS = (b"535 ", b"-ERR [AUTH]")


def submit(wire: Wire, response: bytes) -> bytes:
    """Log in to submission; return the reply."""
    wire.reply()
    wire.ask(b"EHLO attacker.example.org")
    return wire.ask(b"AUTH PLAIN " + response)


def read(wire: Wire, response: bytes) -> bytes:
    """Log in to POP3; return the reply."""
    wire.line()
    wire.say(b"AUTH PLAIN " + response + b"\r\n")
    return wire.line()


class GuessingTests(SynchronousTestCase):
    """Each test attacks from other addresses."""

    def setUp(self) -> None:
        self.daemon = shared(type(self), lambda: Daemon(CONFIG))
        self.alice = self.daemon.user()

    def log_in(self, service: str, source: str, user: User) -> bytes:
        """Log in over a new connection."""
        talk = submit if service == "submission" else read
        with Wire(self.daemon, service, source=source) as wire:
            return talk(wire, plain(user))

    def guess(self, source: str, number: int) -> bytes:
        """Guess a password, each time another one, over SMTP and POP3 in turn."""
        service = "submission" if number % 2 else "pop3"
        return self.log_in(service, source, User(self.alice.name, f"guess {number}"))

    def test_parallel_guesses_from_one_address_are_few_and_delay_no_owner(self) -> None:
        """109 guesses were answered in 6 seconds before."""
        with ThreadPoolExecutor(40) as pool:
            attack = [pool.submit(self.guess, "127.0.1.1", number) for number in range(120)]
            self.assertTrue(self.log_in("submission", "127.0.2.1", self.alice).startswith(b"235 "))
            answers = [each.result() for each in attack]
        answered = [answer for answer in answers if answer.startswith(ANSWERS)]
        self.assertEqual(len(answered), 10)
        refused = [answer for answer in answers if answer.startswith((b"454 4.7.0 ", b"-ERR [SYS/TEMP]"))]
        self.assertEqual(len(refused), 110)
        self.assertTrue(self.log_in("pop3", "127.0.1.1", self.alice).startswith(b"-ERR [SYS/TEMP] too many failed"))

    def test_a_network_that_the_owner_uses_stays_open(self) -> None:
        """Another account is attacked from the same address."""
        self.assertTrue(self.log_in("pop3", "127.0.3.1", self.alice).startswith(b"+OK"))
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda number: self.log_in("pop3", "127.0.3.1", User("nobody", f"guess {number}")), range(20))
            )
        self.assertEqual(sum(answer.startswith(ANSWERS) for answer in answers), 10)
        self.assertTrue(self.log_in("submission", "127.0.3.1", self.alice).startswith(b"235 "))

    def stat_of_threads(self) -> dict[str, list[str]]:
        """The fields of /proc/PID/stat from the state on, by thread."""
        tasks = Path(f"/proc/{self.daemon.pid}/task")
        return {task.name: (task / "stat").read_text().rpartition(")")[2].split() for task in tasks.iterdir()}

    def work_of_threads(self) -> int:
        """The CPU time of the daemon's threads, except for the reactor's, in clock ticks."""
        stats = self.stat_of_threads()
        del stats[str(self.daemon.pid)]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats.values())

    def answered_before_a_first_login(self, attempt: int) -> float:
        """The share of wrong logins of many networks that were answered before a good one that came last.

        Before all of them, a slow login takes the only thread, so that they wait however slowly this process sends.
        """
        slow_user = self.daemon.user_with([("argon2id", SLOW_HASH)])
        wrong = plain(User(self.alice.name, "wrong"))
        wires = [Wire(self.daemon, "pop3", source=f"127.{10 + attempt}.{number}.1") for number in range(30)]
        try:
            for wire in wires:
                wire.line()
            with (
                Wire(self.daemon, "pop3", source=f"127.3.{attempt}.1") as slow,
                Wire(self.daemon, "submission", source=f"127.2.{attempt}.1") as good,
            ):
                good.reply()
                slow.line()
                good.ask(b"EHLO client.example.org")
                before = self.work_of_threads()
                slow.say(b"AUTH PLAIN " + plain(slow_user) + b"\r\n")
                while self.work_of_threads() < before + 5:
                    with Wire(self.daemon, "pop3", source=f"127.4.{attempt}.1") as another:
                        another.line()
                for wire in wires:
                    wire.say(b"AUTH PLAIN " + wrong + b"\r\n")
                self.assertEqual(good.code(b"AUTH PLAIN " + plain(self.alice)), 235)
                answered, _, _ = select.select([wire.sock for wire in wires], [], [], 0)
                self.assertTrue(slow.line().startswith(b"-ERR [AUTH]"))
            for wire in wires:
                self.assertTrue(wire.line().startswith(b"-ERR [AUTH]"))
        finally:
            for wire in wires:
                wire.close()
        return len(answered) / len(wires)

    def test_wrong_logins_from_many_networks_do_not_delay_a_first_login(self) -> None:
        """A thousand wrong logins at once made a good one wait for 14 seconds before: until all were verified.

        In the order of arrival, all of them would be answered before the good login, at each attempt. If the machine
        stops this process for seconds, they are answered before it looks, and it tries again.
        """
        shares: list[float] = []
        for attempt in range(3):
            shares.append(self.answered_before_a_first_login(attempt))
            if shares[-1] < 0.5:
                return
        self.fail(f"answered before the good login: {shares}")

    def test_the_check_of_passwords_goes_after_mail(self) -> None:
        """Both processors were busy with passwords before, and mail waited for its turn among them."""
        self.assertTrue(self.log_in("pop3", "127.0.7.1", self.alice).startswith(b"+OK"))
        priorities = {thread: int(fields[16]) for thread, fields in self.stat_of_threads().items()}
        own = priorities.pop(str(self.daemon.pid))
        self.assertEqual(max(priorities.values()), min(19, own + 5))

    def test_recipients_are_guessed_as_seldom(self) -> None:
        """933 names a second were answered before. The answers tell nothing after the twentieth name."""

        def guess(number: int) -> int:
            with Wire(self.daemon, "smtp", source="127.0.4.1") as wire:
                wire.reply()
                wire.ask(b"EHLO attacker.example.org")
                wire.ask(b"MAIL FROM:<>")
                return wire.code(b"RCPT TO:<guess-%d@example.test>" % number)

        with ThreadPoolExecutor(20) as pool:
            codes = list(pool.map(guess, range(40)))
        self.assertEqual((codes.count(550), codes.count(451)), (20, 20))
        for source, code in (("127.0.4.1", 451), ("127.0.5.1", 250)):
            with Wire(self.daemon, "smtp", source=source) as wire:
                wire.reply()
                wire.ask(b"EHLO client.example.org")
                wire.ask(b"MAIL FROM:<>")
                self.assertEqual(wire.code(f"RCPT TO:<{self.alice.address}>".encode()), code)
