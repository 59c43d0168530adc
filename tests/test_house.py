"""The law of the house: which room may import which, and what no module may do."""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import tests
from tests.sources import CHECKOUT, HOUSE, imported, our_modules, python_files, source

# docs/architecture.md tells why; an arrow that turns out to be needed is added there and here, with its reason.
SETTINGS: Final = "config.settings"
# A room of its own: the daemon's sessions and deliveries do without it.
OPERATORS: Final = "interfaces.operators"
LAW: Final[dict[str, frozenset[str]]] = {
    "mail": frozenset(),
    "passwords": frozenset(),
    "tokens": frozenset(),
    "pki": frozenset(),
    "interfaces": frozenset({"mail"}),
    OPERATORS: frozenset({"mail"}),
    "config": frozenset({"mail"}),
    "telemetry": frozenset(),
    "upstream": frozenset(),
    "extension": frozenset({"mail"}),
    "platforms": frozenset(),
    "wire": frozenset({"mail"}),
    "wiretap": frozenset({"mail", "interfaces", OPERATORS}),
    "net": frozenset({"mail", "wire", "interfaces", "telemetry", "upstream", "extension", SETTINGS}),
    "store": frozenset({"mail", "interfaces", OPERATORS, "telemetry", "platforms", SETTINGS}),
    "policy": frozenset(
        {"mail", "interfaces", OPERATORS, "telemetry", "upstream", "passwords", "tokens", "extension", SETTINGS}
    ),
    "delivery": frozenset({"mail", "interfaces", "telemetry", SETTINGS}),
    # Of the interfaces, the record of its own connections.
    "client": frozenset(
        {"mail", "wire", "net", "telemetry", "upstream", "platforms", SETTINGS, "config.values", "interfaces.wiretap"}
    ),
    # Logins are those of SMTP and POP3, and so are the limits for connections, the words for TLS and submission. The
    # client's code reads and composes messages; none of these modules needs its files or accounts. Operators change the
    # system by the requests of the control socket.
    "web": frozenset(
        {
            "mail",
            "interfaces",
            OPERATORS,
            "telemetry",
            SETTINGS,
            "net.serving.admission",
            "net.serving.session_login",
            "net.tls.server",
            "net.smtp.held_message",
            "net.smtp.incoming",
            "client.compose.answer",
            "client.compose.attachments",
            "client.compose.draft",
            "client.compose.message_builder",
            "client.opening.page",
            "client.text.file_names",
            "client.text.message_text",
            "wiretap.conversation",
            "wiretap.export.blocks",
            "wiretap.export.page",
            "control.request_values",
            "control.requests",
        }
    ),
    "lab": frozenset({"mail", "wiretap", "pki", SETTINGS}),
    "control": frozenset({"mail", "interfaces", OPERATORS, "telemetry", "platforms"}),
    "monitoring": frozenset({OPERATORS, "telemetry", "platforms", "config.monitoring_settings"}),
}
# These stand on top, each on those before it; nothing below imports them.
TOP: Final = ("supervisor", "daemon", "testing", "cli", "__main__")

UNIX_ONLY: Final = frozenset({"fcntl", "pwd", "grp", "resource"})
MAY_BE_UNIX: Final = "platforms"
IO_MODULES: Final = frozenset(
    {
        "twisted",
        "zope",
        "sqlalchemy",
        "socket",
        "ssl",
        "OpenSSL",
        "time",
        "asyncio",
        "threading",
        "subprocess",
        "select",
    }
)
# Stock modules of twisted.mail that must not be built on: a pickled queue, and maildirs without fsync.
LEGACY_MAIL: Final = frozenset(f"twisted.mail.{name}" for name in ("mail", "maildir", "relaymanager", "alias", "tap"))
VAGUE_NAMES: Final = ("util", "helper", "manager", "handler", "common", "misc")
MAX_LINES: Final = 400
MACHINE_PATHS: Final = re.compile(r"(?<![\w.])/(?:work|root|farm|opt/wheels)/")
# Written apart so that this file does not find itself.
PROMISES: Final = re.compile(
    "pragma: " + r"no cover|\bTO" + r"DO\b|\bFIX" + r"ME\b|\bXX" + r"X\b|raise NotImplemented" + "Error"
)
NOT_OURS: Final = frozenset({"build", "dist", "__pycache__"})


@functools.cache
def is_module(dotted: str) -> bool:
    """Whether a dotted name below emailsys is a module or a package."""
    path = HOUSE.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def arrows(imports: Iterable[str]) -> Iterator[str]:
    """The modules of emailsys, without that prefix, among the names that a module imports."""
    for name in imports:
        if not name.startswith("emailsys."):
            continue
        target = name.removeprefix("emailsys.")
        while target and not is_module(target):
            target = target.rpartition(".")[0]
        if target:
            yield target


def room_of(module: str) -> str:
    """The room a module stands in: its first part, but the interfaces for operators are one of their own."""
    return OPERATORS if f"{module}.".startswith(f"{OPERATORS}.") else module.partition(".")[0]


def inner_room_of(module: str) -> str:
    """The innermost package that a module stands in; a package is its own."""
    return module if HOUSE.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0] or module


def allowed(importer: str, target: str) -> bool:
    """Whether the law has an arrow from one module to another."""
    room, other = room_of(importer), room_of(target)
    if room == other:
        return True
    if room in TOP:
        return other in LAW or other in TOP[: TOP.index(room)]
    law = LAW.get(room, frozenset())
    return other in law or target in law


@functools.cache
def house() -> dict[str, set[str]]:
    """The modules that each module imports, those for type checking too; a package goes by its own name."""
    found: dict[str, set[str]] = {}
    for module, code in our_modules():
        name = module.removesuffix(".__init__")
        found[name] = set(arrows(code.imports)) - {name}
    return found


def reached(graph: Mapping[str, Collection[str]], start: str) -> set[str]:
    """Where the arrows lead from a module, in any number of steps."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = set(graph.get(ahead.pop(), ())) - found
        found |= new
        ahead += new
    return found


def circles(graph: Mapping[str, Collection[str]]) -> set[frozenset[str]]:
    """The sets of modules each of which imports all others of its set, directly or by way of others."""
    beyond = {module: reached(graph, module) for module in graph}
    return {
        frozenset(other for other in beyond[module] if module in beyond.get(other, ()))
        for module in graph
        if module in beyond[module]
    }


def is_ours(name: str) -> bool:
    """Whether a file or a folder of this name is written by us: hidden ones belong to tools, all but that of CI."""
    hidden = name.startswith((".", "_trial_temp")) and name != ".ci"
    return not (hidden or name in NOT_OURS or name.endswith(".egg-info"))


class ImportLawTests(SynchronousTestCase):
    """No arrow between rooms but those of docs/architecture.md."""

    def test_every_module_stands_in_a_room_of_the_law(self) -> None:
        """A new room is entered in the law before it is built."""
        rooms = {room_of(module) for module, _ in our_modules()} - {"__init__"}
        self.assertEqual(sorted(rooms - set(LAW) - set(TOP)), [])

    def test_no_new_arrow_between_rooms(self) -> None:
        """Each direct import between rooms is in the law."""
        broken = sorted(
            f"{module} -> {target}"
            for module, code in our_modules()
            for target in set(arrows(code.imports))
            if not allowed(module, target)
        )
        self.assertEqual(broken, [])

    def test_every_arrow_of_the_law_is_used(self) -> None:
        """A grant that no import needs would let an arrow come in unseen."""
        used = {(room_of(module), target) for module, targets in house().items() for target in targets}
        unused = sorted(
            f"{room} -> {grant}"
            for room, grants in LAW.items()
            for grant in grants
            if not any(room == importer and f"{target}.".startswith(f"{grant}.") for importer, target in used)
        )
        self.assertEqual(unused, [])

    def test_no_modules_import_each_other(self) -> None:
        """Modules in a circle can only be understood, tested and moved together."""
        found = sorted(sorted(circle) for circle in circles(house()))
        self.assertEqual(found, [])

    def test_no_rooms_within_a_room_import_each_other(self) -> None:
        """Modules that stand in a room itself count as one room, on top of or below those within it."""
        graph: dict[str, set[str]] = {}
        for module, targets in house().items():
            room = inner_room_of(module)
            inner = {inner_room_of(target) for target in targets if room_of(target) == room_of(module)}
            graph.setdefault(room, set()).update(inner - {room})
        self.assertEqual(sorted(map(sorted, circles(graph))), [])

    def test_the_search_for_circles_finds_them(self) -> None:
        """Two modules, several in a ring, and a module that is in none although it imports one of them."""
        graph = {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c", "a"}, "f": {"c"}, "g": set()}
        self.assertEqual(circles(graph), {frozenset("ab"), frozenset("cde")})

    def test_the_walk_sees_every_spelling_of_an_import(self) -> None:
        """The law would be worth nothing if a nested, relative or conditional import escaped it."""
        text = (
            "import emailsys.store\n"
            "def f():\n    from emailsys.policy import access\n"
            "if 1:\n    from ..mail.address import Address\n"
            "from emailsys import interfaces\n"
        )
        found = set(arrows(imported(ast.walk(ast.parse(text)), "net.example")))
        self.assertEqual({room_of(name) for name in found}, {"store", "policy", "mail", "interfaces"})
        self.assertFalse(allowed("net.example", "store"))
        self.assertFalse(allowed("net.example", "config.loader"))
        self.assertTrue(allowed("net.example", "config.settings"))
        self.assertFalse(allowed("mail.address", "wire.lines"))
        self.assertTrue(allowed("cli.main", "daemon"))
        self.assertFalse(allowed("daemon", "cli.main"))

    def test_mail_and_wire_do_no_input_or_output_and_read_no_clock(self) -> None:
        """Their functions are tested without a socket, a reactor or a clock."""
        broken = []
        for module, code in our_modules():
            if room_of(module) not in {"mail", "wire"}:
                continue
            broken += [f"{module}: {name}" for name in code.imports if name.split(".")[0] in IO_MODULES]
            broken += [f"{module}:{call}" for call in code.clock_calls]
        self.assertEqual(broken, [])

    def test_only_platforms_imports_the_modules_of_unix(self) -> None:
        """fcntl, pwd, grp and resource are missing on Windows, which has another way of its own there."""
        broken = [
            f"{module}: {name}"
            for module, code in our_modules()
            if room_of(module) != MAY_BE_UNIX
            for name in code.imports
            if name.split(".")[0] in UNIX_ONLY
        ]
        self.assertEqual(broken, [])

    def test_only_the_store_speaks_sql(self) -> None:
        """SQLAlchemy and its drivers stay behind the seams of emailsys.interfaces.

        The client's index of its .eml files is one SQLite file with full-text search, and nobody else's.
        """
        drivers = {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
        broken = [
            f"{module}: {name}"
            for module, code in our_modules()
            if room_of(module) != "store"
            for name in code.imports
            if name.split(".")[0] in drivers
            and not (module.startswith("client.archive.") and name.split(".")[0] == "sqlite3")
        ]
        self.assertEqual(broken, [])

    def test_the_reactor_comes_in_by_constructor(self) -> None:
        """Only the rooms on top know the global reactor; the others run on a task.Clock in tests."""
        broken = [
            module
            for module, code in our_modules()
            if room_of(module) not in TOP
            for name in code.imports
            if name == "twisted.internet.reactor"
        ]
        self.assertEqual(broken, [])

    def test_coroutines_and_no_legacy_mail(self) -> None:
        """No inlineCallbacks, and nothing of twisted.mail's own queue and maildirs."""
        broken = [
            f"{module}: {name}"
            for module, code in our_modules()
            for name in code.imports
            if name.endswith(".inlineCallbacks") or f"{name}.".startswith(tuple(f"{old}." for old in LEGACY_MAIL))
        ]
        self.assertEqual(broken, [])


class ModuleTests(SynchronousTestCase):
    """What holds for each file."""

    def test_every_module_says_in_its_first_line_what_it_does(self) -> None:
        """A sentence, on one line, ended by a full stop; an empty file has nothing to say."""
        silent = []
        for path in python_files():
            text = path.read_text("utf-8")
            first = text.partition("\n")[0]
            doc = source(path).docstring
            if text and not (first.startswith('"""') and doc.partition("\n")[0].endswith((".", "?", "!"))):
                silent.append(str(path.relative_to(CHECKOUT)))
        self.assertEqual(silent, [])

    def test_no_module_grows_past_its_duty(self) -> None:
        """Past 400 lines a second duty hides."""
        lengths = {str(path.relative_to(CHECKOUT)): path.read_text("utf-8").count("\n") for path in python_files()}
        self.assertEqual({name: lines for name, lines in lengths.items() if lines > MAX_LINES}, {})

    def test_no_module_has_a_vague_name(self) -> None:
        """A module named after no duty collects all of them."""
        vague = [
            str(path.relative_to(CHECKOUT)) for path in python_files() if any(word in path.stem for word in VAGUE_NAMES)
        ]
        self.assertEqual(vague, [])

    def test_nothing_names_a_path_of_one_machine(self) -> None:
        """What works only where it was written is not in the tree."""
        suffixes = {".py", ".md", ".toml", ".cfg", ".txt", ".service", ".sh", ".mako", ""}
        named = []
        for folder, below, files in os.walk(CHECKOUT):
            below[:] = sorted(name for name in below if is_ours(name))
            for path in (Path(folder, name) for name in sorted(files) if is_ours(name)):
                if path.suffix in suffixes and path.is_file():
                    text = path.read_bytes().decode("utf-8", "replace")
                    named += [f"{path.relative_to(CHECKOUT)}: {hit.group()}" for hit in MACHINE_PATHS.finditer(text)]
        self.assertEqual(named, [])

    def test_no_module_holds_a_promise_in_place_of_work(self) -> None:
        """What is not done is an issue, not a mark in the code."""
        promises = [
            f"{path.relative_to(CHECKOUT)}: {hit.group()}"
            for path in python_files()
            for hit in PROMISES.finditer(path.read_text("utf-8"))
        ]
        self.assertEqual(promises, [])

    def test_package_and_tests_come_from_one_checkout(self) -> None:
        """Else `trial tests` would test another copy of emailsys than the one beside it (pip install -e mends it)."""
        self.assertEqual(Path(tests.__file__).resolve().parent.parent, CHECKOUT)

    def test_the_plugin_folders_stay_namespaces(self) -> None:
        """An __init__.py there would hide Twisted itself."""
        found = [str(path) for path in (CHECKOUT / "twisted").rglob("__init__.py")]
        self.assertEqual(found, [])
        self.assertFalse((CHECKOUT / "twisted" / "plugins" / "emailsys.py").exists())
