"""Line-by-line mail shell for slow terminals and screen readers, with the verbs of `emailsys mail`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from typing_extensions import override

from emailsys.client.base.folders import make_folder
from emailsys.client.compose.completion import last_address_start
from emailsys.mail.message.mailboxes import Mailbox

#: Short names of verbs that users of mutt and mailx know.
_SHORT_NAMES: Final = {
    "l": "list",
    "s": "show",
    "n": "next",
    "p": "show",
    "r": "reply",
    "f": "fetch",
    "m": "compose",
    "mail": "compose",
    "d": "delete",
    "u": "undelete",
    "ls": "list",
    "?": "help",
    "x": "quit",
    "q": "quit",
    "exit": "quit",
}
#: Verbs that take recipients, with the number of arguments before these; None if recipients need an option.
_KEYS_BEFORE_RECIPIENTS: Final = {"send": 0, "compose": 0, "reply": None, "forward": 1}
_RECIPIENTS: Final = ("--to", "-T", "--cc", "-c", "--bcc", "-b")
_NUMBERS: Final = re.compile(r"\d{1,6}(?:-\d{1,6})?")
_SHELL_VERBS: Final = {
    "cd": "cd FOLDER: Change to another folder, which `list` then lists.",
    "next": "Show the next message of the list.",
    "help": "help [VERB]: List all verbs, or explain one.",
    "quit": "Leave the shell.",
}


class ShellCompleter(Completer):
    """Completes verbs at the start of a line, then folders or recipients, whichever the verb takes."""

    def __init__(
        self,
        verbs: Iterable[str],
        folders: Callable[[], Iterable[str]],
        people: Callable[[str], Iterable[Mailbox]],
    ) -> None:
        self._verbs = sorted(verbs)
        self._folders = folders
        self._people = people

    @override
    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        word = document.get_word_before_cursor(WORD=True)
        first = before[: len(before) - len(word)].split()
        verb = _SHORT_NAMES.get(first[0], first[0]) if first else ""
        if verb in _KEYS_BEFORE_RECIPIENTS and _is_recipient_position(first, _KEYS_BEFORE_RECIPIENTS[verb]):
            yield from self._recipients(word)
            return
        if not first:
            choices: Iterable[str] = self._verbs
        elif first[-1] in ("cd", "list", "--to"):
            choices = self._folders()
        else:
            return
        for choice in choices:
            if choice.lower().startswith(word.lower()):
                yield Completion(shlex.quote(choice), start_position=-len(word))

    def _recipients(self, word: str) -> Iterable[Completion]:
        typed = word[last_address_start(word) :]
        for one in self._people(typed):
            address = shlex.quote(str(one.address))
            yield Completion(address, start_position=-len(typed), display=str(one))


def _is_recipient_position(words: list[str], keys_before: int | None) -> bool:
    """Whether the next word of a command may be a recipient."""
    if words[-1].startswith("-"):
        return words[-1] in _RECIPIENTS
    return keys_before is not None and len(words) > keys_before


class Shell:
    """Reads lines and runs the verbs in them. A number stands for a message of the last list."""

    def __init__(
        self,
        execute: Callable[[list[str]], int],
        verbs: Mapping[str, str],
        change_folder: Callable[[str], str],
        folders: Callable[[], Iterable[str]],
        people: Callable[[str], Iterable[Mailbox]],
        say: Callable[[str], None],
        history: Path | None = None,
        source: Input | None = None,
        sink: Output | None = None,
    ) -> None:
        """
        @param execute: runs a verb, prints its errors and returns its exit status.
        @param verbs: each verb with its line of help.
        @param change_folder: sets the folder that `list` lists; returns its full name, or "" if it does not exist.
        @param folders: returns the names of all folders.
        @param people: returns the correspondents that a prefix matches, the most likely first.
        @param say: prints a line.
        @param history: file that keeps the lines of earlier sessions; None to keep them in memory only.
        @param source: where keys are read from; None for the terminal.
        @param sink: where the prompt is drawn; None for the terminal.
        """
        self._execute = execute
        self._verbs = verbs
        self._change_folder = change_folder
        self._say = say
        self._folder = ""
        self._last_shown = 0
        remembered: History = InMemoryHistory()
        if history is not None:
            make_folder(history.parent)
            history.touch(mode=0o600)
            remembered = FileHistory(str(history))
        self._session: PromptSession[str] = PromptSession(
            history=remembered,
            completer=ShellCompleter([*verbs, *_SHELL_VERBS], folders, people),
            complete_while_typing=False,
            input=source,
            output=sink,
        )

    def run(self) -> None:
        """Read and run lines until the user leaves."""
        self._say("Type a verb of `emailsys mail`, for example: list. `help` lists all verbs, `quit` leaves.")
        while True:
            try:
                line = self._session.prompt(f"mail{' ' + self._folder if self._folder else ''}> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if not self.do(line):
                return

    def do(self, line: str) -> bool:
        """Run one line. @return: False if the user wants to leave."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            self._say(f"The line cannot be read: {error}. Close each quotation mark, or write \\ before it.")
            return True
        if not words:
            return True
        if _NUMBERS.fullmatch(words[0]):
            words = ["show", *words]
        verb, rest = _SHORT_NAMES.get(words[0], words[0]), words[1:]
        match verb:
            case "quit":
                return False
            case "help":
                self._help(rest)
            case "cd":
                self._folder = self._change_folder(rest[0] if rest else "Inbox") or self._folder
            case "next":
                self._show(str(self._last_shown + 1))
            case "show" if len(rest) == 1 and rest[0].isdigit():
                self._show(rest[0])
            case _:
                if verb in ("list", "search", "thread"):
                    self._last_shown = 0
                self._execute([verb, *rest])
        return True

    def _show(self, number: str) -> None:
        if self._execute(["show", number]) == 0:
            self._last_shown = int(number)

    def _help(self, words: list[str]) -> None:
        if words:
            self._execute([*words, "--help"])
            return
        for name, text in {**self._verbs, **_SHELL_VERBS}.items():
            self._say(f"{name}: {text.partition(': ')[2] if text.startswith(name) else text}")
        self._say("A number stands for a message of the last list: `3` shows it. Also: `reply 3`, `delete 2-5`.")
