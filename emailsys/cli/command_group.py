"""A group of commands whose help shows what each does in a whole sentence, and to each the examples of it."""

from __future__ import annotations

from typing import Final

import click
from typing_extensions import override

_HEADING: Final = "\b\nExamples:\n"


class Verbs(click.Group):
    """A group; click itself would cut the lines about its commands. Each gets those of its examples that call it."""

    @override
    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """As click does; the help of a command without an epilog ends with its examples."""
        super().add_command(cmd, name)
        if cmd.epilog is None and self.epilog is not None:
            calls = tuple(line for line in self.epilog.split("\n") if f" {self.name} {name or cmd.name} " in f"{line} ")
            cmd.epilog = _HEADING + "\n".join(calls) if calls else None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help text, each with the first sentence about it."""
        about = {name: self.commands[name].help or "" for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(text)) for name, text in about.items()])


def first_sentence(text: str) -> str:
    """The first sentence of a help text, on one line."""
    words = " ".join(text.split("\n\n", 1)[0].split())
    end = words.find(". ")
    return words if end < 0 else words[: end + 1]


def examples(text: str) -> str:
    """An epilog of click with the examples in `text`, a line each."""
    return _HEADING + "\n".join(f"  {line}" for line in text.strip("\n").split("\n"))
