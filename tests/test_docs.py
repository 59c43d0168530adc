"""What the documents say of the code is true: modules, links, commands, exit statuses, settings."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.declared.reading import parse_file
from emailsys.cli.main import program
from emailsys.config.exit_status import MEANING
from emailsys.config.loader import example
from tests import manual_pages, stable_names
from tests.pictures import FOLDER, PICTURES

CHECKOUT: Final = Path(__file__).resolve().parent.parent
HOUSE: Final = CHECKOUT / "emailsys"
# Rooms whose modules the documents name in backquotes, as `room.module`.
_MODULE: Final = re.compile(
    r"`((?:mail(?!\.(?:sqlite|toml|example\.org))|wire|net|store|policy|delivery|control(?!\.sock)|monitoring|daemon(?!\.lock)|config|cli|client|pki|web)(?:\.[a-z][a-z0-9_]*)+)`"
)
_LINK: Final = re.compile(r"\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


def documents() -> list[Path]:
    """Every document that we write."""
    return [
        *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *sorted((CHECKOUT / "docs").rglob("*.md")),
        *sorted((CHECKOUT / "certs").glob("*.md")),
    ]


def commands_in(text: str) -> set[tuple[str, str]]:
    """The commands of emailsys in blocks of code, fenced or indented: each with the word behind it, or ""."""
    fenced = "\n".join(re.findall(r"(?ms)^```[^\n]*\n(.*?)^```$", text))
    indented = "\n".join(re.findall(r"(?m)^    (.+)$", text))
    return {
        (name, verb or "")
        for name, verb in re.findall(
            r"(?m)^(?:\$ )?(?:\.venv/bin/)?emailsys ([a-z]+)(?: ([a-z]+))?", f"{fenced}\n{indented}"
        )
    }


def is_named_in_house(name: str) -> bool:
    """Whether a dotted name is a room, a module, or something in a module."""
    path = HOUSE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file()


class DocumentTests(SynchronousTestCase):
    """Each test walks all documents."""

    def test_each_module_that_is_named_exists(self) -> None:
        """`store.message.intake` is a file or a folder of the house."""
        missing = [
            f"{document.relative_to(CHECKOUT)}: {name}"
            for document in documents()
            # Written from the code; it has requests such as web.login, which are no modules.
            if document.name != "names.md"
            for name in _MODULE.findall(document.read_text("utf-8"))
            if not is_named_in_house(name)
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

    def test_the_version_is_everywhere_the_same(self) -> None:
        """`emailsys --version`, the installed package, setup.cfg, and the newest heading of the CHANGELOG."""
        written = re.findall(r"(?m)^version = (.+)$", (CHECKOUT / "setup.cfg").read_text("utf-8"))
        self.assertEqual(written, [version("emailsys")])
        shown = CliRunner().invoke(program, ["--version"])
        self.assertEqual((shown.output, shown.exit_code), (f"emailsys, version {written[0]}\n", 0))
        released = re.findall(r"(?m)^emailsys ([0-9.]+) \([0-9-]+\)$", (CHECKOUT / "CHANGELOG").read_text("utf-8"))
        self.assertEqual(released[:1] or written, written)

    def test_each_fragment_of_news_has_a_kind(self) -> None:
        """Else towncrier leaves it out of the CHANGELOG without a word."""
        kinds = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"]["type"]
        known = "|".join(kind["directory"] for kind in kinds)
        fragments = sorted((CHECKOUT / "docs" / "newsfragments").iterdir())
        wrong = [one.name for one in fragments if not re.fullmatch(rf"[^.]+\.({known})(\.\d+)?|\.gitignore", one.name)]
        self.assertEqual(wrong, [])

    def test_the_picture_of_the_rooms_is_that_of_the_code(self) -> None:
        """`python -m tests.pictures house` draws it again after a change of rooms or of their imports."""
        self.assertTrue((FOLDER / "house.svg").read_text("utf-8") == PICTURES["house"](), "make pictures")

    def test_pictures_load_nothing_and_run_nothing(self) -> None:
        """Whoever reads a document is not reported to anybody."""
        for name in PICTURES:
            picture = (FOLDER / f"{name}.svg").read_text("utf-8")
            self.assertEqual(re.findall(r"<script|<image|@import|@font-face|url\((?!#)|href=", picture), [], name)
            self.assertNotIn("emailsys-picture-", picture, "a folder of the machine that drew it")

    def test_the_targets_that_are_named_are_in_the_makefile(self) -> None:
        """`make docs` and the like."""
        targets = set(re.findall(r"(?m)^([a-z]+):", (CHECKOUT / "Makefile").read_text("utf-8")))
        named = {
            target
            for document in documents()
            for target in re.findall(r"(?m)(?:^|`)make ([a-z]+)", document.read_text("utf-8"))
        }
        self.assertEqual(named - targets, set())
        self.assertLessEqual({"test", "lint", "format", "docs", "bench", "ci"}, targets)

    def test_no_page_of_the_site_links_to_what_is_not_on_it(self) -> None:
        """`sphinx-build -W` refuses it, minutes later. CONTRIBUTING.md and SECURITY.md are pages too."""
        site = CHECKOUT / "docs"
        pages = [*site.rglob("*.md"), CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "SECURITY.md"]
        outside = [
            f"{page.relative_to(CHECKOUT)}: {target}"
            for page in sorted(pages)
            for target in _LINK.findall(page.read_text("utf-8"))
            if not (page.parent / target).resolve().is_relative_to(site)
        ]
        self.assertEqual(outside, [])

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

    def test_the_page_of_stable_names_is_that_of_the_code(self) -> None:
        """A renamed event, key or status changes docs/names.md, so that nobody renames one unawares."""
        self.assertEqual(stable_names.PAGE.read_text("utf-8"), stable_names.page(), "python -m tests.stable_names")

    def test_the_man_pages_are_those_of_the_code(self) -> None:
        for name in manual_pages.PAGES:
            stored = (manual_pages.FOLDER / f"{name}.1").read_text("utf-8")
            self.assertEqual(stored, manual_pages.page(name), "python -m tests.manual_pages")

    def test_the_package_installs_the_man_pages(self) -> None:
        setup = ConfigParser()
        setup.read(CHECKOUT / "setup.cfg", "utf-8")
        installed = setup["options.data_files"]["share/man/man1"].split()
        self.assertEqual(installed, [f"docs/man/{name}.1" for name in manual_pages.PAGES])

    def test_the_man_pages_have_every_command_and_option(self) -> None:
        text = "".join(map(manual_pages.page, manual_pages.PAGES)).replace("\\-", "-")
        waiting: list[tuple[str, click.Command]] = [("emailsys", program)]
        while waiting:
            path, command = waiting.pop()
            context = click.Context(command, info_name=path)
            if isinstance(command, click.Group):
                names = command.list_commands(context)
                waiting += [(f"{path} {one}", found) for one in names if (found := command.get_command(context, one))]
            else:
                self.assertIn(f".SS {path} ", text)
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    self.assertIn(option.opts[0], text, path)

    def test_log_events_are_words_joined_by_hyphens(self) -> None:
        """One form for all, so that nobody has to look up which name has dots."""
        form = re.compile(r"(?:<task>|[a-z0-9]+)(?:-[a-z0-9]+)*")
        self.assertEqual([name for name in stable_names.events() if not form.fullmatch(name)], [])
        exceptions = stable_names.exceptions()
        self.assertEqual(
            [name for name in exceptions if not (form.fullmatch(name) and name.endswith("-exception"))], []
        )

    def test_each_command_that_is_shown_exists(self) -> None:
        """Lines of code that begin with `emailsys` name a command of the console program, and after `mail` its verb."""
        shown = {words for document in documents() for words in commands_in(document.read_text("utf-8"))}
        unknown = {name for name, _ in shown if name not in program.list_commands(click.Context(program))}
        mail = program.get_command(click.Context(program), "mail")
        assert isinstance(mail, click.Group)
        unknown |= {
            verb
            for name, verb in shown
            if name == "mail" and verb not in ("", *mail.list_commands(click.Context(mail)))
        }
        self.assertEqual(unknown, set())
        self.assertGreater(len(shown), 30)

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
        self.assertEqual([line.rsplit("/", 1)[1] for line in lines], ["emailsys try", "trial -j2 tests"])


class PagesForOthersTests(SynchronousTestCase):
    """docs/sending-mail.md and docs/moving.md, whose programs and commands stand in no block that is run."""

    def setUp(self) -> None:
        self.sending, self.moving = (
            (CHECKOUT / "docs" / name).read_text("utf-8") for name in ("sending-mail.md", "moving.md")
        )

    def test_python_blocks_compile(self) -> None:
        blocks = re.findall(r"(?ms)^```python\n(.*?)^```$", self.sending + self.moving)
        for block in blocks:
            compile(block, "block", "exec")
        self.assertGreater(len(blocks), 5)

    def test_commands_and_settings_in_the_text_exist(self) -> None:
        """`emailsys user add`, `srs` in `[routing]`, and `EMAILSYS_SMTP__MAX_MESSAGE_SIZE`."""
        context = click.Context(program)
        for name, verb in re.findall(r"`emailsys ([a-z]+)(?: ([a-z-]+))?", self.sending + self.moving):
            command = program.get_command(context, name)
            self.assertIsNotNone(command, name)
            if isinstance(command, click.Group) and verb:
                self.assertIn(verb, command.list_commands(context), name)
        # Keys that the example has only in a comment count, too.
        tables = tomllib.loads(re.sub(r"(?m)^#([a-z_0-9]+ = )", r"\1", example()))
        named = [
            (table, key)
            for keys, table in re.findall(
                r"((?:`[^`]+`(?:, | or )?)+) (?:in|of) `\[([a-z]+)\]`", self.moving + self.sending
            )
            for key in re.findall(r"`([a-z_0-9]+)(?: = [^`]+)?`", keys)
        ]
        named += [
            (table.lower(), key.lower())
            for table, key in re.findall(r"`EMAILSYS_([A-Z]+)__([A-Z_]+)`", self.moving)
            if (table, key) != ("TLS", "CERTIFICATES")
        ]
        self.assertEqual([pair for pair in named if pair[1] not in tables[pair[0]]], [])
        self.assertGreater(len(named), 15)

    def test_aliases_of_postfix_become_a_file_for_apply(self) -> None:
        """Comments, continued lines, commands, and an account that keeps a copy."""
        found = re.search(r"(?ms)^```python\n(# aliases\.py\n.*?)^```$", self.moving)
        assert found is not None
        aliases = (
            "# See man 5 aliases\npostmaster:    root\nroot:\talice, bob@elsewhere.example\n , carol\n\n"
            'sales : alice\n   # comment\nrobot: "|/usr/bin/robot x"\nlist: :include:/etc/list\nempty:\n'
            "bob: bob, bob@elsewhere.example\n@example.net alice@example.net\n"
        )
        run = subprocess.run(
            [sys.executable, "-I", "-c", found[1], "example.org"],
            input=aliases,
            capture_output=True,
            text=True,
            check=True,
        )
        read = parse_file(run.stdout.encode(), "aliases.toml", CHECKOUT)
        self.assertEqual(
            {str(alias.name).removeprefix('""'): [str(target) for target in alias.targets] for alias in read.aliases},
            {
                "postmaster@example.org": ["root@example.org"],
                "root@example.org": ["alice@example.org", "bob@elsewhere.example", "carol@example.org"],
                "sales@example.org": ["alice@example.org"],
                "@example.net": ["alice@example.net"],
            },
        )
        self.assertEqual(
            [(str(one.address), list(map(str, one.forward or ()))) for one in read.accounts],
            [("bob@example.org", ["bob@elsewhere.example"])],
        )
        self.assertEqual(len(run.stderr.splitlines()), 3)
