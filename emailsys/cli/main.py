"""Console program `emailsys`: command table, lazy imports and exit statuses."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from textwrap import fill
from typing import Any, Final, NoReturn

import click

from emailsys import __version__
from emailsys.cli.command_group import shown_usage
from emailsys.cli.stream_encoding import adapt_process
from emailsys.config.exit_status import MEANING, Exit
from emailsys.upstream import end_process, run_exit_functions

PROGRAM: Final = "emailsys"
#: The variable by which a shell asks for completions.
ASKED_BY_A_SHELL: Final = "_EMAILSYS_COMPLETE"

# Columns of help text, as click has them for everything else.
_COLUMNS: Final = 78
_EPILOG: Final = "\b\nExit statuses (sysexits.h):\n" + "\n".join(
    fill(text, _COLUMNS, initial_indent=f"  {status:>3}  ", subsequent_indent=" " * 7)
    for status, text in MEANING.items()
)

#: The settings of each group that is called as a program: `emailsys`, and `emailsys mail` from its own shell.
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A command group that imports a command only when it is called; the help needs no imports.

    @param lazy: for each command "module:attribute" and its line of help.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy

    def lines_of_help(self) -> dict[str, str]:
        """Return the line of help of each command, by name."""
        return {name: text for name, (_, text) in self._lazy.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people need them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in the help text."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command that the arguments name."""
        with shown_usage(self, ctx):
            return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; if one belongs behind it, the error says so."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            where = f"{ctx.command_path} COMMAND {error.option_name}"
            raise click.UsageError(f"{error.message} Write the options of a command behind it: {where}", ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or suggest the one that may have been meant."""
        name = args[0] if args else ""
        if name not in self._lazy and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self._lazy, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Commands: {', '.join(self._lazy)}."
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    PROGRAM,
    cls=LazyGroup,
    lazy={
        "mail": (
            "emailsys.cli.mail.group:mail",
            "Read and write mail: a full screen, or one verb at a time.",
        ),
        "try": (
            "emailsys.cli.tryout.command:try_it",
            "See it work: start a private system on loopback and send a message through it.",
        ),
        "lab": (
            "emailsys.cli.lab.command:lab",
            "Run lessons about attacks on mail: real attackers, the real daemon, loopback only.",
        ),
        "catch": (
            "emailsys.cli.commands.catch:catch",
            "Catch the mail of a program under test: accept everything, send nothing on.",
        ),
        "serve": (
            "emailsys.cli.commands.serve:serve",
            "Run the daemon in the foreground; `twistd emailsys` runs it in the background.",
        ),
        "init": ("emailsys.cli.commands.init:init", "Create an empty store; the daemon never creates one by itself."),
        "domain": ("emailsys.cli.commands.domain:domain", "Add, list and remove domains."),
        "user": ("emailsys.cli.commands.user:user", "Add, list, change and remove the accounts of a domain."),
        "password": ("emailsys.cli.commands.password:password", "Change your own password, as a user."),
        "token": (
            "emailsys.cli.commands.token:token",
            "Add, list and remove access tokens, by which programs use the HTTP API.",
        ),
        "web": ("emailsys.cli.commands.web:web", "Log in to the operators' pages of the web face."),
        "alias": (
            "emailsys.cli.commands.alias:alias",
            "Set, list and remove aliases: names that forward to other addresses.",
        ),
        "route": ("emailsys.cli.commands.route:route", "Set, list, remove and explain routes for outbound mail."),
        "apply": (
            "emailsys.cli.declared.command:apply",
            "Make domains, accounts, aliases and routes as a file declares them.",
        ),
        "export": (
            "emailsys.cli.declared.command:export",
            "Write all domains, accounts, aliases and routes to a file for `apply`.",
        ),
        "queue": ("emailsys.cli.commands.queue:queue", "Show and change the queue of outbound mail."),
        "trace": ("emailsys.cli.commands.trace:trace", "Show the history of a message and where it is now."),
        "status": ("emailsys.cli.commands.status:status", "Show the running system on one screen."),
        "reload": (
            "emailsys.cli.commands.reload:reload",
            "Make the daemon read its configuration and certificates again, without a restart.",
        ),
        "restart": (
            "emailsys.cli.commands.restart:restart",
            "Restart the daemon without a gap: a new process takes over, and no connection is refused.",
        ),
        "watch": (
            "emailsys.cli.watching.command:watch",
            "Watch the conversations of the running system: SMTP, POP3 and TLS, each line explained.",
        ),
        "probe": (
            "emailsys.cli.probe.command:probe",
            "Examine another mail server: dialogue, TLS, certificates, known weaknesses.",
        ),
        "bench": (
            "emailsys.cli.bench.command:bench",
            "Send many messages to a server, fetch them, and compare each by its digest.",
        ),
        "verify": ("emailsys.cli.commands.verify:verify", "Check that no accepted message is lost or changed."),
        "upgrade": ("emailsys.cli.commands.upgrade:upgrade", "Upgrade the store to the schema of this release."),
        "move": (
            "emailsys.cli.moving.command:move",
            "Move the store to another database: SQLite to PostgreSQL, and back.",
        ),
        "config": (
            "emailsys.cli.commands.config:config",
            "Print an example configuration, check a file, show the settings in force.",
        ),
        "certs": ("emailsys.cli.commands.certs:certs", "Create, renew and show certificates of the development CA."),
        "completion": ("emailsys.cli.commands.completion:completion", "Print the completion script of a shell."),
    },
    context_settings=CONTEXT,
    epilog=_EPILOG,
)
@click.version_option(__version__, prog_name=PROGRAM)
def program() -> None:
    """A mail system: SMTP, submission, a durable store, POP3 and TLS.

    See it work in half a minute: emailsys try
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit with a status of sysexits.h."""
    if arguments is None:
        adapt_process()
    status = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if threading.active_count() == 1:
        # The interpreter takes 13 ms (40 ms with Twisted) to free all imported objects one by one. The kernel frees
        # them at once.
        run_exit_functions()
        end_process(status)
    sys.exit(status)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Errors go to stderr, one line each."""
    if ASKED_BY_A_SHELL in os.environ:
        from emailsys.cli.completion_answers import register

        register()
    words = None if arguments is None else list(arguments)
    return exit_status_of(
        lambda: program.main(args=words, prog_name=PROGRAM, complete_var=ASKED_BY_A_SHELL, standalone_mode=False)
    )


def exit_status_of(call: Callable[[], Any]) -> int:
    """Call a click command and return its exit status. Errors go to stderr, one line each."""
    try:
        ended = call()
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        status: int = getattr(error, "status", error.exit_code)
        return status
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed the pipe (`| head`). This is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        return _report(error)
    return ended if isinstance(ended, int) else Exit.OK


def _report(error: Exception) -> int:
    from emailsys.config.loader import ConfigError
    from emailsys.control.request_values import MalformedRequest
    from emailsys.supervisor import StartupError

    match error:
        case ConfigError():
            for problem in error.problems:
                click.echo(f"{PROGRAM}: {problem}", err=True)
            return Exit.CONFIG
        case StartupError():
            click.echo(f"{PROGRAM}: {error}", err=True)
            return error.status
        case MalformedRequest():
            click.echo(f"{PROGRAM}: {error}", err=True)
            return Exit.DATA
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"{PROGRAM}: {where}{error.strerror or error}", err=True)
            return Exit.NO_PERMISSION if isinstance(error, PermissionError) else Exit.IO
    if os.environ.get("EMAILSYS_TRACEBACK"):
        raise error
    click.echo(
        f"{PROGRAM}: unexpected {type(error).__name__}: {error}. Please report it, with the output under "
        "EMAILSYS_TRACEBACK=1",
        err=True,
    )
    return Exit.SOFTWARE
