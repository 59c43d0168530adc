"""Base case of tests of the full screen: a mailbox with mail, and a driver of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from textual import events
from textual.pilot import Pilot, WaitForScreenTimeout
from textual.widgets import Input, Label, Static, TextArea
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Account, SecretKind, SecretSource, Server
from emailsys.client.archive.values import INBOX, Addition, Flag, Folder, Summary
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.fetch.values import FetchResult, Progress, Stage
from emailsys.client.mailbox import MailboxPaths, UserMailbox
from emailsys.client.screen import key_order
from emailsys.client.screen.app import MailApp
from emailsys.client.send.sender import SendProgress, SendResult
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.fakes.client.telling_loop import drive, telling_loop

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
#: Seconds after which waiting for a condition fails.
PATIENCE = 60.0
BOB = Mailbox("Bob", parse("bob@example.org"))
ALICE = Mailbox("Alice", parse("alice@example.org"))
T = TypeVar("T")

# Keys with a name of several characters, in bursts.
_NAMED: Final = ("enter", "backspace", "escape", "tab", "slash", "semicolon", "dollar_sign", "f3", "f5", "f7")

F = TypeVar("F", bound=Callable[..., Any])
#: The actions of keys that tests cover.
TRIED: set[str] = set()


def tries(*actions: str) -> Callable[[F], F]:
    """Record that a test covers the keys of these actions."""
    TRIED.update(actions)
    return lambda function: function


def account(name: str) -> Account:
    """Return an account whose servers are never contacted."""
    server = Server("localhost", 995, username=f"{name}@example.org", secret=SecretSource(SecretKind.PROMPT))
    return Account(name, parse(f"{name}@example.org"), name.capitalize(), server, replace(server, port=465))


class FakeNetwork:
    """A network without servers: sent mail leaves the outbox, and waiting mail goes into the Inbox."""

    def __init__(self, mailbox: UserMailbox) -> None:
        self._mailbox = mailbox
        self.waiting: list[bytes] = []
        self.sent: list[str] = []
        self.problem: str | None = None
        #: The forms that were posted, and the answer that each gets.
        self.posted: list[tuple[str, bytes]] = []
        self.answer: int | str = 200
        self.closed = False
        #: Blocks a fetch until it is set; None to fetch immediately.
        self.fetch_gate: asyncio.Event | None = None
        self.is_fetching = False
        #: Blocks sending until it is set; None to send immediately.
        self.gate: asyncio.Event | None = None

    async def fetch(
        self, accounts: Sequence[Account], report: Callable[[Progress], None], may_ask: bool = True
    ) -> Sequence[FetchResult]:
        """Put the waiting mail into the first account."""
        first, *others = accounts
        self.is_fetching = True
        if self.fetch_gate is not None:
            await self.fetch_gate.wait()
        report(Progress(first.name, Stage.FETCHING, 1, len(self.waiting), 10, 20))
        keys = self._mailbox.archive.add_many([Addition(one, Folder(first.name, INBOX)) for one in self.waiting])
        self.waiting = []
        return [FetchResult(first.name, tuple(keys), problem=self.problem), *(FetchResult(one.name) for one in others)]

    async def send(self, account: Account, key: str, report: Callable[[SendProgress], None]) -> SendResult:
        """Accept the message when the gate is open."""
        if self.gate is not None:
            await self.gate.wait()
        if self.problem is not None:
            return SendResult(key, account.name, problem=self.problem, waits=True)
        queued = {one.key: one for one in self._mailbox.outbox.list()}
        if key not in queued:
            return SendResult(key, account.name, problem="it was stopped")
        report(SendProgress(key, 1, 2))
        self.sent.append(key)
        self._mailbox.archive.move([key], Folder(account.name, "Sent"))
        return SendResult(key, account.name, queued[key].recipients)

    async def flush(self, accounts: Sequence[Account]) -> Sequence[SendResult]:
        """Send all messages."""
        by_name = {one.name: one for one in accounts}
        return [
            await self.send(by_name[one.account], one.key, lambda progress: None) for one in self._mailbox.outbox.list()
        ]

    async def post_form(self, url: str, form: bytes) -> int | str:
        """Record the form, and answer."""
        self.posted.append((url, form))
        return self.answer

    async def close(self) -> None:
        """Record that the program closed the network."""
        self.closed = True


class ScreenCase(SynchronousTestCase):
    """The accounts alice and work. Alice's Inbox has Third (unread), Second (attachment, HTML) and First."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.mailbox = UserMailbox(
            MailboxPaths(self.folder / "mail.toml", self.folder / "mail", self.folder / "state"), lambda: NOW
        )
        self.addCleanup(self.mailbox.close)
        self.mailbox.accounts_file.put(account("alice"), default=True)
        self.mailbox.accounts_file.put(account("work"))
        for name in ("alice", "work"):
            self.mailbox.archive.add_account(name)
        self.network = FakeNetwork(self.mailbox)
        self.first = self.arrive("First", 3, Flag.SEEN)
        self.second = self.arrive("Second", 2, Flag.SEEN, html="<p>the <b>HTML</b> form</p>", attached=True)
        self.third = self.arrive("Third", 1)

    def octets(self, subject: str, hours: int = 0, html: str | None = None, attached: bool = False) -> bytes:
        draft = Draft(BOB, [ALICE], [Mailbox("Carol", parse("carol@example.org"))], subject=subject)
        draft.text, draft.html = f"the text of {subject}\n" + "line\n" * 100, html
        if attached:
            draft.attachments = [Attachment("plan.txt", b"a plan", "text/plain")]
        return build(draft, NOW - timedelta(hours=hours)).octets

    def arrive(self, subject: str, hours: int, flags: Flag = Flag.NONE, **more: Any) -> str:
        octets = self.octets(subject, hours, **more)
        return self.mailbox.archive.add(Addition(octets, Folder("alice", INBOX), flags=flags))

    def drive(
        self,
        steps: Callable[[Driver], Awaitable[T]],
        hold: float = 0.0,
        size: tuple[int, int] = (110, 34),
        notifications: bool = False,
    ) -> T:
        """Start the program, and run the steps of a test in it. Keys wait for dialogs also on a slow machine.

        @param notifications: draw them, too.
        """
        self.patch(key_order, "_PATIENCE", PATIENCE)

        async def run() -> T:
            app = MailApp(self.mailbox, lambda _: self.network, hold=hold)
            leave = app.exit

            def exit(*how: Any, **named: Any) -> None:
                leave(*how, **named)
                # A program that ends is never idle.
                telling_loop().wake()

            self.patch(app, "exit", exit)
            async with app.run_test(size=size, notifications=notifications) as pilot:
                driver = Driver(self, app, pilot)
                await driver.until(lambda: "alice" in str(app.screen.query_one("#bar", Static).visual))
                return await steps(driver)

        return drive(self, run())

    def folder_of(self, key: str) -> str:
        """Return the folder of a message."""
        return self.mailbox.archive.get(key).folder.name

    def subjects(self, folder: str, name: str = "alice") -> list[str]:
        """Return the subjects in a folder, the newest first."""
        return [one.subject for one in self.mailbox.archive.list(Folder(name, folder))]


async def patiently(step: Awaitable[None]) -> None:
    """Take a step of the pilot. A busy machine may need longer than its half minute, for instance for a burst of keys.

    Whether that is too long is for the next condition to say, which a test waits for.
    """
    with suppress(WaitForScreenTimeout):
        await step


class Driver:
    """The actions of a test on the program."""

    def __init__(self, case: ScreenCase, app: MailApp, pilot: Pilot[Any]) -> None:
        self.case = case
        self.app = app
        self.pilot = pilot
        #: The texts of the notifications so far.
        self.toasts: list[str] = []
        show = app.notify

        def notify(message: str, **how: Any) -> None:
            self.toasts.append(message)
            show(message, **how)

        case.patch(app, "notify", notify)

    @property
    def messages(self) -> Any:
        """The list of messages."""
        return self.app.screen_stack[1].query_one("#messages")

    @property
    def reader(self) -> Any:
        """The pane of the open message."""
        return self.app.screen_stack[1].query_one("#reader")

    @property
    def read(self) -> str:
        """The text of the open message."""
        return str(self.reader.query_one("#text").visual)

    @property
    def said(self) -> str:
        """The text of the status line."""
        return str(self.app.screen_stack[1].query_one("#status-text", Label).visual)

    @property
    def refusal(self) -> str:
        """Why the dialog refuses what was typed, with the text that it still has; "" if it does not."""
        found = self.app.screen.query(".refused")
        if not found:
            return ""
        dialog = found.first()
        return f"{dialog.query_one(Input).value}: {dialog.query_one('.problem', Label).visual}"

    @property
    def current(self) -> Summary:
        """The current message."""
        found: Summary = self.messages.current
        return found

    async def press(self, *keys: str) -> None:
        """Press keys, one by one."""
        for key in keys:
            await patiently(self.pilot.press(key))

    def burst(self, *words: str) -> None:
        """Type faster than the screen works: keys by their names, and the characters of any other word."""
        for word in words:
            named = word in _NAMED or word.startswith("ctrl+")
            for one in [word] if named else word:
                self.app.post_message(events.Key(one, None if named else one))

    async def type(self, text: str) -> None:
        """Type text into the focused field."""
        focused = self.app.screen.focused
        if isinstance(focused, TextArea):
            focused.insert(text)
        else:
            assert isinstance(focused, Input), focused
            focused.insert_text_at_cursor(text)
        await self.pilot.pause()

    async def compose(self, to: str = "", subject: str = "", body: str = "") -> None:
        """Open a new message, and fill in its fields."""
        await self.press("m")
        await self.until_screen("Composer")
        if to:
            await self.type(to)
        for field, text in (("#subject", subject), ("#body", body)):
            if text:
                self.fill(field, text)

    def fill(self, field: str, text: str) -> None:
        """Replace the text of a field on the current screen."""
        found = self.app.screen.query_one(field)
        if isinstance(found, TextArea):
            found.text = text
        else:
            assert isinstance(found, Input), found
            found.value = text

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true, while threads and workers run."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                self.case.fail(
                    f"the condition never became true; status line: {self.said!r}, screen: {self.app.screen}"
                )
            await patiently(self.pilot.pause())
            # For what threads and timers do.
            await asyncio.sleep(0.005)

    async def until_screen(self, name: str) -> None:
        """Wait until a screen is open."""
        await self.until(lambda: type(self.app.screen).__name__ == name)
        await self.pilot.pause()
