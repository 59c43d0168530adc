"""The recipe of the development certificates, in certs/recipe.toml: names, keys and periods of validity."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

#: The keys that a recipe may name, and the part of a file name that stands for each.
KEY_KINDS: Final = {"RSA-2048": "rsa", "P-256": "ecdsa"}


class PKIError(Exception):
    """A certificate cannot be created or read. The message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class ServerRecipe:
    """The contents of a server certificate. Days count from its creation, also in `begins`."""

    keys: tuple[str, ...]
    dns: tuple[str, ...]
    ip: tuple[str, ...]
    days: int
    renew_before: int
    crl: str
    begins: int = 0
    #: The name of the authority that signs the certificate; "" for the development CA.
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The contents of certs/recipe.toml."""

    authority_name: str
    authority_key: str
    authority_days: int
    server: ServerRecipe
    variants: Mapping[str, ServerRecipe]


def recipe_path() -> Path:
    """Return the path of the recipe: in certs/ of a checkout, else in the installation.

    @raise PKIError: the installation is damaged.
    """
    checkout = Path(__file__).resolve().parent.parent.parent
    if (checkout / "setup.cfg").is_file():
        return checkout / "certs" / "recipe.toml"
    # Imported here, because it takes 20 ms, and a checkout does not need it.
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files("emailsys") or ():
            if file.parts[-3:] == ("emailsys", "certs", "recipe.toml"):
                return Path(os.path.normpath(str(file.locate())))
    raise PKIError("the installation of emailsys lacks share/emailsys/certs/recipe.toml. Install emailsys again")


_Value = TypeVar("_Value")


def _entry(path: Path, table: Mapping[str, Any], key: str, kind: type[_Value]) -> _Value:
    """Return an entry of the recipe, after a check of its type."""
    value = table.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise PKIError(f"{path}: {key} must be of type {kind.__name__}, not {value!r}")
    return value


def _server_recipe(path: Path, table: Mapping[str, Any]) -> ServerRecipe:
    unknown = table.keys() - {field.name for field in dataclasses.fields(ServerRecipe)}
    if unknown:
        raise PKIError(f"{path}: unknown entry {sorted(unknown)[0]!r}")
    keys = tuple(str(key) for key in _entry(path, table, "keys", list))
    for key in keys:
        _check_key_name(path, key)
    return ServerRecipe(
        keys=keys,
        dns=tuple(str(name) for name in _entry(path, table, "dns", list)),
        ip=tuple(str(name) for name in _entry(path, table, "ip", list)),
        days=_entry(path, table, "days", int),
        renew_before=_entry(path, table, "renew_before", int),
        crl=_entry(path, table, "crl", str),
        begins=_entry(path, {"begins": 0, **table}, "begins", int),
        authority=_entry(path, {"authority": "", **table}, "authority", str),
    )


def _check_key_name(path: Path, key: str) -> None:
    if key not in KEY_KINDS:
        raise PKIError(f"{path}: key {key!r} is none of {', '.join(KEY_KINDS)}")


def read_recipe(path: Path | None = None) -> Recipe:
    """Read a recipe, by default the one in certs/.

    @raise PKIError: it cannot be read, or an entry has the wrong type.
    """
    return _default_recipe() if path is None else _read(path)


@functools.cache
def _default_recipe() -> Recipe:
    # Cached, because a daemon that has dropped its privileges may be unable to read the file.
    return _read(recipe_path())


def _read(path: Path) -> Recipe:
    import tomllib

    try:
        text = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise PKIError(f"{path}: the recipe for certificates cannot be read: {error}") from error
    authority, server = _entry(path, text, "authority", dict), _entry(path, text, "server", dict)
    key = _entry(path, authority, "key", str)
    _check_key_name(path, key)
    return Recipe(
        authority_name=_entry(path, authority, "name", str),
        authority_key=key,
        authority_days=_entry(path, authority, "days", int),
        server=_server_recipe(path, server),
        variants={
            name: _server_recipe(path, {**server, **variant})
            for name, variant in _entry(path, {"variants": {}, **text}, "variants", dict).items()
        },
    )
