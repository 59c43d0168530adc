"""What the documents say of the code is true: modules, links, commands, exit statuses, settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.main import program
from emailsys.config.exits import MEANING
from emailsys.config.loader import example

CHECKOUT: Final = Path(__file__).resolve().parent.parent
HOUSE: Final = CHECKOUT / "emailsys"
# Rooms whose modules the documents name in backquotes, as `room.module`.
_MODULE: Final = re.compile(
    r"`((?:mail(?!\.(?:sqlite|toml|example\.org))|wire|net|store|policy|ops|config|cli|pki)\.[a-z][a-z0-9_]*)(?:\.[a-z_]+)*`"
)
_LINK: Final = re.compile(r"\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


def documents() -> list[Path]:
    """Every document that we write."""
    return [
        CHECKOUT / "README.md",
        *sorted((CHECKOUT / "docs").rglob("*.md")),
        *sorted((CHECKOUT / "certs").glob("*.md")),
    ]


class DocumentTests(SynchronousTestCase):
    """Each test walks all documents."""

    def test_each_module_that_is_named_exists(self) -> None:
        """`store.intake` is a file or a folder of the house."""
        missing = [
            f"{document.relative_to(CHECKOUT)}: {name}"
            for document in documents()
            for name in _MODULE.findall(document.read_text("utf-8"))
            if not (path := HOUSE.joinpath(*name.split("."))).with_suffix(".py").is_file() and not path.is_dir()
        ]
        self.assertEqual(missing, [])

    def test_each_link_leads_to_a_file(self) -> None:
        """Relative links, from the folder of the document."""
        broken = [
            f"{document.relative_to(CHECKOUT)}: {target}"
            for document in documents()
            for target in _LINK.findall(document.read_text("utf-8"))
            if not (document.parent / target).exists()
        ]
        self.assertEqual(broken, [])

    def test_each_decision_is_listed(self) -> None:
        """The index of docs/decisions has them all."""
        index = (CHECKOUT / "docs" / "decisions" / "README.md").read_text("utf-8")
        records = sorted(path.name for path in (CHECKOUT / "docs" / "decisions").glob("0*.md"))
        self.assertEqual(re.findall(r"\((0[^)]+\.md)\)", index), records)

    def test_the_exit_statuses_are_those_of_the_code(self) -> None:
        """docs/operations.md has the same table as `emailsys --help`."""
        text = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
        table = {
            int(status): words.replace("`", "") for status, words in re.findall(r"(?m)^\| (\d+) \| (.+) \|$", text)
        }
        self.assertEqual(table, {int(status): words for status, words in MEANING.items()})

    def test_each_command_that_is_shown_exists(self) -> None:
        """Lines of code that begin with `emailsys` name a command of the console program."""
        commands = set(program.list_commands(None))  # type: ignore[arg-type]
        shown = {
            name
            for document in documents()
            for name in re.findall(r"(?m)^(?:    |\$ )(?:\.venv/bin/)?emailsys ([a-z]+)", document.read_text("utf-8"))
        }
        self.assertEqual(shown - commands, set())

    def test_each_setting_that_is_named_exists(self) -> None:
        """`pop3.takeover_after` is a key of the example configuration."""
        settings = tomllib.loads(example())
        unknown = [
            f"{document.relative_to(CHECKOUT)}: {table}.{key}"
            for document in documents()
            for table, key in re.findall(r"`(smtp|pop3|tls|login)\.([a-z_]+)`", document.read_text("utf-8"))
            if key not in settings[table]
        ]
        self.assertEqual(unknown, [])

    def test_the_readme_has_its_two_commands(self) -> None:
        """.ci/run finds them by their beginning and runs them word for word."""
        lines = re.findall(r"(?m)^python3 -m venv .*$", (CHECKOUT / "README.md").read_text("utf-8"))
        self.assertEqual([line.rsplit("/", 1)[1] for line in lines], ["emailsys try", "trial tests"])
