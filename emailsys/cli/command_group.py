"""Command group with uncut help lines, and examples for each command."""

from __future__ import annotations

from typing import Final

import click
from typing_extensions import override

_HEADING: Final = "\b\nExamples:\n"


class Verbs(click.Group):
    """A group whose help has one whole sentence for each command. Commands get their examples from the group."""

    @override
    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command. If it has no epilog, its help ends with the examples of the group that call it."""
        super().add_command(cmd, name)
        if cmd.epilog is None and self.epilog is not None:
            calls = tuple(line for line in self.epilog.split("\n") if f" {self.name} {name or cmd.name} " in f"{line} ")
            cmd.epilog = _HEADING + "\n".join(calls) if calls else None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, each with the first sentence of its help."""
        about = {name: self.commands[name].help or "" for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(text)) for name, text in about.items()])


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text, on one line."""
    words = " ".join(text.split("\n\n", 1)[0].split())
    end = words.find(". ")
    return words if end < 0 else words[: end + 1]


def examples(text: str) -> str:
    """Return a click epilog with the examples in `text`, one on each line."""
    return _HEADING + "\n".join(f"  {line}" for line in text.strip("\n").split("\n"))
