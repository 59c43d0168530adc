"""Plugins by name: those that emailsys brings, entry points of the group `emailsys`, and `twisted.plugin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from twisted.plugin import getPlugins

from emailsys.extension import CheckContext, ICheckPlugin, IPolicyCheck
from emailsys.extension.checks import POINTS

GROUP: Final = "emailsys"
_OWN: Final = "plugin"
# Stands for the argument of a plugin.
_HIDDEN: Final = "***"

Make = Callable[[CheckContext], Any]


class PluginError(Exception):
    """A plugin cannot be loaded. The message names it, and the reason."""


def load_checks(
    specifications: Sequence[str], hostname: str, reactor: Any, shipped: Mapping[str, Make]
) -> list[tuple[str, Any]]:
    """Make the checks that the configuration names, with their names.

    @param specifications: "plugin:NAME", "plugin:NAME:ARGUMENT", or with a name of `shipped` "NAME:ARGUMENT".
    @param shipped: what emailsys brings.
    @raise PluginError: one of them cannot be loaded.
    """
    return [_load(specification, hostname, reactor, shipped) for specification in specifications]


def _load(specification: str, hostname: str, reactor: Any, shipped: Mapping[str, Make]) -> tuple[str, Any]:
    kind, _, rest = specification.partition(":")
    name, argument = (kind, rest)
    try:
        if kind == _OWN:
            name, _, argument = rest.partition(":")
            make = found_plugin(name)
        elif kind in shipped:
            make = shipped[kind]
        else:
            raise LookupError(f"there is no such kind; use {', '.join((*shipped, f'{_OWN}:NAME'))}")
        check = make(CheckContext(name, argument, hostname, reactor))
        if not IPolicyCheck.providedBy(check):
            raise TypeError(f"it made a {type(check).__name__}, which is no IPolicyCheck")
        if missing := [method for method in (*POINTS, "stop") if not callable(getattr(check, method, None))]:
            raise TypeError(f"{type(check).__name__} has no method {', '.join(missing)}")
    except (Exception, SystemExit) as error:
        # Without the cause, whose text is in the message.
        raise plugin_error("check", specification, error) from None
    return name, check


def load_plugin(what: str, specification: str, hostname: str, reactor: Any, interface: Any) -> tuple[str, Any]:
    """Make the plugin that "plugin:NAME" or "plugin:NAME:ARGUMENT" names. Returns its name and what it made.

    @param what: what the plugin is, for errors. @param interface: what it must provide.
    @raise PluginError: it cannot be loaded.
    """
    name, _, argument = specification.removeprefix(f"{_OWN}:").partition(":")
    try:
        made = found_plugin(name)(CheckContext(name, argument, hostname, reactor))
        if not interface.providedBy(made):
            raise TypeError(f"it made a {type(made).__name__}, which is no {interface.__name__}")
    except (Exception, SystemExit) as error:
        raise plugin_error(what, specification, error) from None
    return name, made


def plugin_error(what: str, specification: str, error: BaseException) -> PluginError:
    """Return the error that says why a plugin cannot be loaded."""
    why = " ".join(str(error).split()) or "without a message"
    kind, _, rest = specification.partition(":")
    name, _, argument = rest.partition(":")
    if kind == _OWN and argument:
        # Only the plugin knows whether its argument is a secret, and exceptions often quote what they were given.
        specification, why = f"{kind}:{name}:{_HIDDEN}", why.replace(argument, _HIDDEN)
    return PluginError(f"the {what} {specification!r} cannot be loaded: {type(error).__name__}: {why}")


def found_plugin(name: str) -> Make:
    """Return what makes the plugin of a name.

    @raise LookupError: there is none, or there are several.
    """
    points = entry_points(group=GROUP, name=name)
    if len({point.value for point in points}) > 1:
        packages = ", ".join(sorted({point.dist.name if point.dist else "?" for point in points}))
        raise LookupError(f"several packages have an entry point of this name: {packages}")
    for point in points:
        make: Make = point.load()
        return make
    for plugin in getPlugins(ICheckPlugin):
        if plugin.name == name:
            made: Make = plugin.make
            return made
    raise LookupError(f"no package has an entry point {name!r} in the group {GROUP!r}, and twisted.plugin has no such")
