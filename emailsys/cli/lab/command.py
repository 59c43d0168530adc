"""The command `lab`: list the lessons, and run them."""

from __future__ import annotations

import difflib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from emailsys.cli.command_group import Verbs, examples
from emailsys.cli.options import Refused, as_json
from emailsys.cli.output import print_json, print_rows
from emailsys.cli.tryout.end_signals import Ended, until_ended
from emailsys.config.exit_status import Exit
from emailsys.lab.base.lesson import Lesson, Report
from emailsys.lab.base.values import LessonFailed, Side

if TYPE_CHECKING:
    from emailsys.cli.lab.systems import LabDaemons
    from emailsys.lab.base.stage import Pki

_EXAMPLES: Final = """
emailsys lab list                            the lessons, with minutes in a class
emailsys lab run starttls-stripped           one lesson
emailsys lab run starttls-stripped --pause   for a projector: Enter leads to the next step
emailsys lab run --all                       all lessons; the exit status tells whether all verdicts are right
emailsys lab run smuggling --explain         each line with its meaning and its RFC
emailsys lab run smuggling --export page.html
emailsys lab run --all --report pages        a page for each lesson, and pages/index.html
emailsys lab run open-relay --json | jq '.[].sides[].evidence'
"""


def _complete_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Completes names of lessons that were not typed yet."""
    from emailsys.lab.table import all_lessons

    typed = context.params.get("names") or ()
    return [
        CompletionItem(lesson.name, help=lesson.title)
        for lesson in all_lessons()
        if lesson.name.startswith(incomplete) and lesson.name not in typed
    ]


@click.group(epilog=examples(_EXAMPLES), cls=Verbs)
def lab() -> None:
    """Lessons about attacks on mail, on loopback, with the real daemon and real attackers.

    Each lesson shows what the attacker sees without and with the protection, and ends with a verdict from the octets of
    this run. Nothing leaves this machine, and nothing remains: the daemons have a temporary folder.
    """


@lab.command("list")
@as_json
def list_lessons(as_json: bool) -> None:
    """List the lessons."""
    from emailsys.lab.table import all_lessons

    rows: list[dict[str, Any]] = [
        {"name": lesson.name, "minutes": lesson.minutes, "title": lesson.title} for lesson in all_lessons()
    ]
    print_rows(rows, as_json, "no lessons", cut=("title",))


@lab.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_names)
@click.option("--all", "run_all", is_flag=True, help="Run all lessons.")
@click.option("--pause/--no-pause", default=False, show_default=True, help="Wait for Enter after each step.")
@click.option("--explain", is_flag=True, help="Say below each line what it means.")
@click.option(
    "--export",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the lesson as one HTML page that needs no network.",
)
@click.option(
    "--report",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a page for each lesson, and index.html.",
)
@as_json
def run(
    names: tuple[str, ...],
    run_all: bool,
    pause: bool,
    explain: bool,
    export: Path | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Run lessons.

    Exit status: 0 if each attack succeeded without the protection and failed with it, 1 if not or if a lesson could not
    be played to its end.
    """
    from emailsys.cli.lab.pages import write_page, write_report
    from emailsys.lab.play import play

    lessons = _chosen(names, run_all)
    if pause and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("--pause waits for Enter: it needs a terminal, and text instead of --json.")
    if export is not None and len(lessons) != 1:
        raise click.UsageError("--export writes one lesson. Use --report DIR for several.")
    # Before the lessons, so that a wrong name costs no time.
    if export is not None and not export.parent.is_dir():
        raise Refused(f"the folder {export.parent} does not exist", Exit.NO_INPUT)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    failures: list[tuple[Lesson, str]] = []
    try:
        with _workshop() as (daemons, pki):
            for lesson in lessons:
                teller = _Teller(lesson, pause, explain, as_json)
                teller.begin()
                try:
                    report = play(lesson, daemons, pki, teller.tell)
                except LessonFailed as error:
                    failures.append((lesson, str(error)))
                    click.echo(f"emailsys: {lesson.name} could not be played to its end: {error}", err=True)
                    continue
                teller.end()
                reports.append(report)
    except Ended:
        return Exit.INTERRUPTED
    if export is not None and reports:
        write_page(export, reports[0])
        click.echo(f"emailsys: the page is {export}", err=True)
    if folder is not None:
        click.echo(f"emailsys: the pages begin with {write_report(folder, reports, failures)}", err=True)
    if as_json:
        print_json([report.to_json() for report in reports])
    elif len(lessons) > 1:
        _tell_all(reports, failures)
    return Exit.OK if not failures and all(report.as_expected for report in reports) else Exit.FAILED


def _chosen(names: tuple[str, ...], run_all: bool) -> list[Lesson]:
    from emailsys.lab.table import all_lessons

    known = {lesson.name: lesson for lesson in all_lessons()}
    if run_all and names:
        raise click.UsageError("Use either NAME or --all, not both.")
    if not run_all and not names:
        raise click.UsageError("Name a lesson, or use --all. `emailsys lab list` lists them.")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `emailsys lab list` lists them."
            raise click.UsageError(f"No lesson {name!r}.{hint}")
    return list(known.values()) if run_all else [known[name] for name in dict.fromkeys(names)]


class _Teller:
    """Prints a lesson while it runs."""

    def __init__(self, lesson: Lesson, pause: bool, explain: bool, is_silent: bool) -> None:
        self._lesson, self._pause, self._explain, self._is_silent = lesson, pause, explain, is_silent

    def begin(self) -> None:
        """Prints the beginning of the lesson."""
        from emailsys.cli.lab import text

        self._say(text.opening(self._lesson))

    def tell(self, side: Side) -> None:
        """Prints a side that was played."""
        from emailsys.cli.lab import text

        self._say(text.title_of(self._lesson, side.is_protected), wait=False)
        for step in side.result.steps:
            self._say(text.step_text(step, self._explain))
        self._say(text.verdict(self._lesson, side))

    def end(self) -> None:
        """Prints the end of the lesson."""
        from emailsys.cli.lab import text

        self._say(text.closing(self._lesson))

    def _say(self, words: str, wait: bool = True) -> None:
        if self._is_silent:
            return
        click.echo(words + "\n")
        if wait and self._pause:
            click.echo("Press Enter", err=True, nl=False)
            sys.stdin.readline()


def _tell_all(reports: list[Report], failures: list[tuple[Lesson, str]]) -> None:
    click.secho("All lessons", bold=True)
    for report in reports:
        word = "as expected" if report.as_expected else "NOT AS EXPECTED"
        click.echo(f"   {report.lesson.name:<26} {word}")
    for lesson, _ in failures:
        click.echo(f"   {lesson.name:<26} NOT PLAYED TO ITS END")


@contextmanager
def _workshop() -> Iterator[tuple[LabDaemons, Pki]]:
    """Gives daemons and certificates in a temporary folder. Nothing of them remains, whatever ends the block.

    Ctrl-C, SIGTERM and SIGHUP raise Ended in the block.
    """
    from emailsys.cli.lab.systems import LabDaemons
    from emailsys.lab.base.stage import Pki

    with ExitStack() as stack, until_ended(stack.close, "stopping the daemons"):
        folder = Path(tempfile.gettempdir(), f"emailsys-lab-{secrets.token_hex(8)}")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        pki = Pki(folder / "certs")
        daemons = LabDaemons(folder, pki)
        stack.callback(daemons.stop)
        yield daemons, pki
