"""The pictures of the documents, each drawn from the real program: `python -m tests.pictures`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"


def _by(module: str) -> Callable[[], str]:
    """The function that draws, imported when it is called: the screen needs another reactor than the rest."""

    def draw() -> str:
        picture: str = import_module(f"tests.pictures.{module}").draw()
        return picture

    return draw


PICTURES: Final[Mapping[str, Callable[[], str]]] = {
    "house": _by("house"),
    "message": _by("message"),
    "try": _by("trying"),
    "wire": _by("wire"),
    "screen": _by("screen"),
}
