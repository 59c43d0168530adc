"""Dialogue scripts: text files of what a client sends and what the server must reply.

A line of a script is one of

- ``C: text``: the client sends the text, as UTF-8, and CRLF.
- ``C> text``: the client sends exactly these octets, written with Python escapes, no CRLF added.
- ``S: text``: the server sends this line. ``...`` in it stands for any text.
- ``S* text``: the server sends any number of such lines, or none, before the next ``S:``.
- ``-- silence``: the server has sent nothing more.
- ``-- closed``: the server has closed the connection and sent nothing more.
- ``-- hang up``: the client closes the connection.
- ``-- starttls``: the client begins TLS.
- ``-- advance SECONDS``: time passes.
- ``-- segment``: the octets so far are sent as a segment of their own.
- ``-- WORD REST``: anything else is an action of the test that plays the script.

Consecutive ``C`` lines are sent in one segment: a script pipelines unless it waits for a reply. Empty lines and lines
that begin with ``#`` are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Actions = Mapping[str, Callable[[str], None]]


class Peer(Protocol):
    """The client that plays a script against a server."""

    async def send(self, octets: bytes) -> None:
        """Send one segment."""

    async def line(self) -> bytes | None:
        """Returns the server's next line without CRLF; None once it has closed. Fails if no line arrives."""

    async def silence(self) -> None:
        """Fail if the server has sent more."""

    async def hang_up(self) -> None:
        """Close the connection."""

    async def starttls(self) -> None:
        """Begin TLS."""

    async def advance(self, seconds: float) -> None:
        """Let time pass."""


@dataclass(frozen=True)
class Step:
    """One line of a script: its number, its kind (C: C> S: S* --) and the rest."""

    number: int
    kind: str
    text: str


@dataclass(frozen=True)
class Script:
    """A named dialogue."""

    name: str
    steps: Sequence[Step]

    @property
    def needs_clock(self) -> bool:
        """Whether the script advances time, which only a peer with its own clock can do."""
        return any(step.kind == "--" and step.text.startswith("advance") for step in self.steps)


def parse(name: str, text: str) -> Script:
    """Read a script."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, rest = line[:2], line[2:]
        if kind not in ("C:", "C>", "S:", "S*", "--"):
            raise ValueError(f"{name}, line {number}: {line!r} is no step")
        steps.append(Step(number, kind, rest.removeprefix(" ")))
    return Script(name, steps)


def scripts_in(folder: Path) -> Iterator[Script]:
    """Returns the scripts of a folder. Each file is named after the behaviour that it shows."""
    for path in sorted(folder.glob("*.txt")):
        yield parse(path.stem, path.read_text("utf-8"))


def octets(step: Step) -> bytes:
    """Returns the octets that a C step sends."""
    if step.kind == "C>":
        return step.text.encode("latin-1").decode("unicode_escape").encode("latin-1")
    return step.text.encode("utf-8") + b"\r\n"


def matches(pattern: str, line: bytes | None) -> bool:
    """Returns whether a line matches an S step."""
    if line is None:
        return False
    parts = (re.escape(part.encode("utf-8")) for part in pattern.split("..."))
    return re.fullmatch(b".*".join(parts), line, re.DOTALL) is not None


class _Play:
    def __init__(self, script: Script, peer: Peer, actions: Actions) -> None:
        self._script = script
        self._peer = peer
        self._actions = actions
        self._unsent = b""
        self._ahead: list[bytes | None] = []

    async def run(self) -> None:
        steps = self._script.steps
        for index, step in enumerate(steps):
            if step.kind in ("C:", "C>"):
                self._unsent += octets(step)
                continue
            await self._flush()
            if step.kind == "S:":
                self._expect(step, await self._line(step))
            elif step.kind == "S*":
                following = next(after for after in steps[index:] if after.kind == "S:")
                while True:
                    line = await self._line(step)
                    if matches(following.text, line):
                        self._ahead.append(line)
                        break
                    self._expect(step, line)
            else:
                await self._act(step)
        await self._flush()

    async def _flush(self) -> None:
        if self._unsent:
            sending, self._unsent = self._unsent, b""
            await self._peer.send(sending)

    async def _line(self, step: Step) -> bytes | None:
        if self._ahead:
            return self._ahead.pop()
        try:
            return await self._peer.line()
        except AssertionError as error:
            raise AssertionError(f"{self._where(step)}: wanted {step.text!r}, {error}") from None

    def _where(self, step: Step) -> str:
        return f"{self._script.name}, line {step.number}"

    def _expect(self, step: Step, line: bytes | None) -> None:
        if not matches(step.text, line):
            raise AssertionError(f"{self._where(step)}: wanted {step.text!r}, the server sent {line!r}")

    async def _act(self, step: Step) -> None:
        word, _, rest = step.text.partition(" ")
        if step.text == "closed":
            line = await self._line(step)
            if line is not None:
                raise AssertionError(f"{self._where(step)}: wanted the connection closed, the server sent {line!r}")
        elif step.text == "silence":
            await self._peer.silence()
        elif step.text == "hang up":
            await self._peer.hang_up()
        elif step.text == "starttls":
            await self._peer.starttls()
        elif word == "advance":
            await self._peer.advance(float(rest))
        elif step.text != "segment":
            self._actions[word](rest)


async def play(script: Script, peer: Peer, actions: Actions | None = None) -> None:
    """Play a script to its end.

    @raise AssertionError: the server said something else; the message names script and line.
    """
    await _Play(script, peer, actions or {}).run()


def add_tests(case: type, scripts: Sequence[Script], run: Callable[[Any, Script], Any]) -> None:
    """Give a TestCase a test for each script, named after it; `run` gets the test and the script."""

    def test_of(script: Script) -> Callable[[Any], Any]:
        def test(self: Any) -> Any:
            return run(self, script)

        test.__name__ = f"test_{script.name}"
        test.__qualname__ = f"{case.__qualname__}.{test.__name__}"
        test.__doc__ = script.name.replace("_", " ")
        return test

    assert scripts, "no scripts found"
    for script in scripts:
        setattr(case, f"test_{script.name}", test_of(script))
