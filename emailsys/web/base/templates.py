"""Pages from templates, in which every value is escaped, and files of the package that browsers load."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from jinja2 import DictLoader, Environment, StrictUndefined

from emailsys.wiretap.export.page import blocks_style

_PACKAGE: Final = "emailsys.web"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the package, in memory: no name that a browser sends ever becomes a path.

    @ivar tag: changes with the content, and stands in the address, so that browsers may keep the file for ever.
    """

    octets: bytes = field(repr=False)
    content_type: str
    tag: str


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _files(one, f"{prefix}{one.name}/")
        else:
            yield prefix + one.name, one


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """Return the files by name."""
    found: dict[str, StaticFile] = {}
    for name, file in _files(resources.files(_PACKAGE).joinpath("static")):
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is not None:
            found[name] = _static_file(file.read_bytes(), kind)
    # Drawings of conversations and messages have the style of exported pages, which ends at their element.
    found["exported.css"] = _static_file(f".exported {{\n{blocks_style()}}}\n".encode(), _TYPES["css"])
    return found


def _static_file(octets: bytes, kind: str) -> StaticFile:
    return StaticFile(octets, kind, hashlib.sha256(octets).hexdigest()[:12])


def static_path(name: str) -> str:
    """Return the address of a file of the package."""
    return f"/static/{static_files()[name].tag}/{name}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    texts = {
        name: file.read_text("utf-8")
        for name, file in _files(resources.files(_PACKAGE).joinpath("templates"))
        if name.endswith(".html")
    }
    environment = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["static"] = static_path
    return environment


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**values)


def preload() -> None:
    """Read all files and compile all templates, while the process may read the package."""
    static_files()
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)
