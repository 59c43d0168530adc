"""The page docs/names.md: every name that scripts may rely on, read from the code.

python -m tests.stable_names writes the page again.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeGuard

import emailsys
from emailsys.config.exit_status import MEANING
from emailsys.config.server_keys import SERVICES, TOP
from emailsys.config.settings import CertificateFiles, OutboundTimeouts, RouteSettings, Settings
from emailsys.config.toml_text import SECTIONS
from emailsys.control.request_reading import REQUESTS

PACKAGE: Final = Path(emailsys.__file__).parent
PAGE: Final = PACKAGE.parent / "docs" / "names.md"
# Where the answers of each command are made: module and functions. Answers of the other requests are empty.
_ANSWERS: Final = {
    "domain.list": (("control/account_commands", ("_domain_fields", "_usage_fields")),),
    "user.list, user.get": (("control/account_commands", ("_user_fields", "_usage_fields")),),
    "token.add, token.list, token.remove": (("control/token_commands", ("_token_fields",)),),
    "alias.set, alias.add, alias.remove, alias.list": (("control/routing_commands", ("alias_fields",)),),
    "route.set, route.list": (("control/routing_commands", ("_route_fields",)),),
    "route.explain": (("daemon/route_explanation", ("explainer", "_choice")),),
    "queue.list": (("control/queue_commands", ("entry_fields",)),),
    "queue.summary": (("control/queue_commands", ("_domain_fields",)),),
    "queue.change": (("control/queue_commands", ("_change_queue",)),),
    "trace": (("control/queue_commands", ("_trace", "life_fields", "_event_fields")),),
    "verify": (("control/queue_commands", ("_verify",)),),
    "conversation.list, conversation.get": (("wiretap/conversation", ("to_json",)),),
    "status": (
        ("daemon/status", ("describe_daemon", "_disk")),
        ("daemon/certificates", ("status",)),
        ("daemon/worker_pool", ("status",)),
    ),
    "operator.login": (("control/commands", ("_web_login",)),),
    "init": (("cli/commands/init", ("_make",)),),
}
# Columns of the page.
_WIDTH: Final = 100
_HEAD: Final = """# Stable names

Scripts and monitoring may rely on the names on this page. A name changes only with a fragment in
the [changelog](changelog.rst). The page is written by `python -m tests.stable_names`, and a test
compares it with the code.

"""


def events() -> dict[str, set[str]]:
    """Return the fields of each log event, by its name."""
    found = _logged("event", "alarm")
    # The first words of the fates of a recipient that an attempt may end with; see `emailsys.delivery.attempt_records`.
    return found | dict.fromkeys(("relayed", "failed"), found["delayed"])


def exceptions() -> dict[str, set[str]]:
    """Return the fields of each log event that reports an unexpected exception, by its name."""
    # Writer threads of the store report by a function of this name, which calls `exception` in the reactor thread.
    return _logged("exception", "_log_unexpected")


@functools.cache
def _logged(*methods: str) -> dict[str, set[str]]:
    """Return the fields that calls of these methods of `Telemetry` log, by the name of the event."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        if not any(f".{method}(" in text for method in methods):
            continue
        tree = ast.parse(text)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in _calls(function, methods):
                    for name in _names(call.args[0], function, tree):
                        found.setdefault(name, set()).update(word.arg for word in call.keywords if word.arg)
    return found


def _calls(tree: ast.AST, methods: tuple[str, ...]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in methods
            and node.args
        ):
            yield node


def _names(node: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.AST) -> Iterator[str]:
    """Yield the names that an expression stands for: text, a local variable, or a parameter of a private method."""
    if not isinstance(node, ast.Name):
        yield from _texts(node)
        return
    for other in ast.walk(function):
        if isinstance(other, ast.Assign) and any(isinstance(to, ast.Name) and to.id == node.id for to in other.targets):
            yield from _texts(other.value)
    parameters = [each.arg for each in function.args.args if each.arg != "self"]
    if node.id in parameters and function.name not in ("event", "alarm", "exception"):
        for caller in ast.walk(tree):
            if isinstance(caller, ast.FunctionDef | ast.AsyncFunctionDef) and caller is not function:
                for call in _calls(caller, (function.name,)):
                    if len(call.args) > parameters.index(node.id):
                        yield from _names(call.args[parameters.index(node.id)], caller, tree)


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the strings that an expression may have as its value; `<...>` stands for a part that varies."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from _texts(node.body)
            yield from _texts(node.orelse)
        case ast.JoinedStr():
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "<task>" for part in node.values)


def answer_keys(places: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Return the keys of the dict displays in some functions, in the order of the code."""
    keys: dict[str, None] = {}
    for module, names in places:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
        functions = {
            node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for name in names:
            keys.update(dict.fromkeys(_keys(functions[name])))
    return list(keys)


def _keys(function: ast.AST) -> Iterator[str]:
    others = {node.value for node in ast.walk(function) if _is_no_document(node)}
    displays = [node for node in ast.walk(function) if isinstance(node, ast.Dict) and node not in others]
    for display in sorted(displays, key=lambda node: (node.lineno, node.col_offset)):
        names = [key.value for key in display.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        # Names with a space are the titles of a table's columns.
        if not any(" " in name for name in names):
            yield from names


def _is_no_document(node: ast.AST) -> TypeGuard[ast.Subscript | ast.keyword]:
    """Whether the value of a node is a table in which a name is looked up, or settings for click."""
    return isinstance(node, ast.Subscript) or (isinstance(node, ast.keyword) and node.arg == "context_settings")


def mail_keys() -> dict[str, list[str]]:
    """Return the keys of the documents that each module of `emailsys mail` prints with --json."""
    found = {}
    for path in sorted((PACKAGE / "cli" / "mail").rglob("*.py")):
        keys = list(dict.fromkeys(_keys(ast.parse(path.read_text("utf-8")))))
        if keys and "print_json" in path.read_text("utf-8"):
            found[path.stem] = keys
    return found


def config_keys() -> dict[str, list[str]]:
    """Return the keys of each table of the configuration."""
    tables: dict[str, list[str]] = {"": list(TOP), "listen": list(SERVICES)}
    special = {"certificates", "routes", "timeouts"}
    defaults: Any = Settings("localhost", Path("/"))
    for name in SECTIONS:
        tables[name] = [field.name for field in fields(getattr(defaults, name)) if field.name not in special]
    tables["tls.certificates"] = [field.name for field in fields(CertificateFiles)]
    tables["routing.routes"] = [field.name for field in fields(RouteSettings) if field.name != "password"]
    tables["outbound.timeouts"] = [field.name for field in fields(OutboundTimeouts)]
    return tables


def page() -> str:
    """Return the text of the page."""
    return _HEAD + "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "## Exit statuses\n"
    yield from (_item(str(int(status)), text) for status, text in MEANING.items())
    yield "\n## Keys of the configuration\n"
    for table, keys in config_keys().items():
        yield _item(f"`[{table}]`" if table else "outside of tables", _code(keys))
    yield "\n## Log events\n"
    yield "Names are words joined by `-`. An event may have further fields; those of a message have `queue_id`,"
    yield "those of a connection `session`.\n"
    yield from (_item(f"`{name}`", _code(sorted(words))) for name, words in sorted(events().items()))
    yield "\n## Log events of unexpected exceptions\n"
    yield "They have a traceback, count as `exception` in the metrics, and end with `-exception`.\n"
    yield from (_item(f"`{name}`", _code(sorted(words))) for name, words in sorted(exceptions().items()))
    yield "\n## Requests on the control socket\n"
    yield "A request is one line of JSON with `command` and these fields. The answer has `result`, or `error`"
    yield "with `kind` and `message`; it has `store` if that is not the default store.\n"
    yield from (_item(f"`{name}`", _code(field.name for field in fields(kind))) for name, kind in REQUESTS.items())
    yield "\nAfter the answer to `conversation.watch` the daemon sends a line of JSON for each event, until the"
    yield "connection is closed: an object with `conversation`, with `session` and `event`, with `watching`"
    yield "(all conversations of the past were sent), or with `lost` (how many events were lost because they"
    yield "were read too slowly). An event has `at`, `kind`, and, unless they are empty, `direction`, `text`,"
    yield "`octets` and `details`."
    yield "\n## JSON keys of results, also with `--json`\n"
    yield "The keys of inner objects stand beside those of the outer one.\n"
    for name, places in _ANSWERS.items():
        yield _item(_code(name.split(", ")), _code(answer_keys(places)))
    yield "\n## JSON keys of `emailsys mail`\n"
    yield "By the module that prints them.\n"
    yield from (_item(name, _code(keys)) for name, keys in mail_keys().items())
    yield ""


def _item(name: str, text: str) -> str:
    """Return an entry of a list, wrapped."""
    return textwrap.fill(
        f"* {name}: {text}", _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "none"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
