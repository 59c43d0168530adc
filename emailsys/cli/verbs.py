"""A group of commands whose help shows what each does in a whole sentence, and to each the examples of it."""

from __future__ import annotations

from typing import Final

import click
from typing_extensions import override

_HEADING: Final = "\b\nExamples:\n"


class Verbs(click.Group):
    """A group; click itself would cut the lines about its commands."""

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


def examples(text: str, verb: str = "") -> str:
    """An epilog of click with the examples in `text`, a line each; of those that call `verb`, where it is given.

    @param verb: the words of a command behind the program's name, such as "queue hold".
    """
    lines = text.strip("\n").split("\n")
    return _HEADING + "\n".join(f"  {line}" for line in lines if line.startswith(f"emailsys {verb}".rstrip()))
