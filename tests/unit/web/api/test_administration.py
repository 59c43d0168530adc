"""Requests of the API to the commands of the control socket."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys import web
from emailsys.control.request_reading import REQUESTS

_ASKING: Final = frozenset({"do", "_do", "change", "_change"})


def asked() -> Iterator[tuple[str, str, set[str], bool]]:
    """Each request in the code of the web face: place, command, the fields that it names, and whether it has more."""
    for path in sorted(Path(web.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASKING):
                continue
            for one in node.args:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    named = {word.arg for word in node.keywords if word.arg is not None}
                    yield f"{path.name}:{node.lineno}", one.value, named, len(named) < len(node.keywords)


class RequestTests(SynchronousTestCase):
    def test_each_request_is_one_of_the_control_socket_with_its_fields(self) -> None:
        """Here they are made from names, where the commands of the console program make values of their types."""
        wrong = []
        count = 0
        for place, command, named, has_more in asked():
            count += 1
            kind = REQUESTS.get(command)
            if kind is None:
                wrong.append(f"{place}: there is no command {command}")
                continue
            known = {field.name: field for field in fields(kind)}
            needed = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
            wrong += [f"{place}: {command} has no field {name}" for name in sorted(named - known.keys())]
            wrong += [f"{place}: {command} needs {name}" for name in sorted(needed - named) if not has_more]
        self.assertEqual(wrong, [])
        self.assertGreater(count, 25)
