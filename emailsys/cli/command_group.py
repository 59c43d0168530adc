"""Command group with uncut help lines, and examples for each command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from typing_extensions import override

_HEADING: Final = "\b\nExamples:\n"


@contextmanager
def shown_usage(group: click.Group, context: click.Context) -> Iterator[None]:
    """Name the command in an error of its options, so that its usage is shown. Click omits it if a value is missing."""
    try:
        yield
    except click.BadOptionUsage as error:
        name = context.invoked_subcommand
        command = None if error.ctx is not None or name is None else group.get_command(context, name)
        if command is None:
            raise
        raise click.UsageError(error.format_message(), click.Context(command, context, name)) from None


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
    def invoke(self, ctx: click.Context) -> Any:
        """Call the command that the arguments name."""
        with shown_usage(self, ctx):
            return super().invoke(ctx)

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
