"""Checkers of passwords by name: those that emailsys brings, entry points, and those of twisted.cred.strcred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import InvalidAuthType, makeChecker

from emailsys.extension import CheckContext
from emailsys.policy.checks.plugins import Make, found_plugin, plugin_error

#: The password that is stored in this system.
LOCAL: Final = "local"
_OWN: Final = "plugin"
_PAM: Final = "pam"

# A name, and the checker; None for the password that is stored here.
Named = tuple[str, Any]


def load_checkers(
    specifications: Sequence[str], hostname: str, reactor: Any, shipped: Mapping[str, Make]
) -> tuple[Named, ...]:
    """Make the checkers that the configuration names, with their names.

    @param specifications: "local"; "plugin:NAME" or "plugin:NAME:ARGUMENT"; with a name of `shipped` "NAME:ARGUMENT";
        and otherwise what `twistd --auth` takes, such as "file:/etc/passwords".
    @param shipped: what emailsys brings.
    @raise PluginError: one of them cannot be loaded.
    """
    return tuple(_load(specification, hostname, reactor, shipped) for specification in specifications)


def _load(specification: str, hostname: str, reactor: Any, shipped: Mapping[str, Make]) -> Named:
    name, _, argument = specification.partition(":")
    if specification == LOCAL:
        return LOCAL, None
    try:
        if name == _OWN:
            name, _, argument = argument.partition(":")
            checker = found_plugin(name)(CheckContext(name, argument, hostname, reactor))
        elif name in shipped:
            checker = shipped[name](CheckContext(name, argument, hostname, reactor))
        else:
            checker = _stock(specification, shipped)
        if not ICredentialsChecker.providedBy(checker):
            raise TypeError(f"it made a {type(checker).__name__}, which is no ICredentialsChecker")
        if IUsernamePassword not in checker.credentialInterfaces:
            raise TypeError(f"{type(checker).__name__} checks no passwords: IUsernamePassword is missing in it")
    except (Exception, SystemExit) as error:
        raise plugin_error("checker of passwords", specification, error) from None
    return name, checker


def _stock(specification: str, shipped: Mapping[str, Make]) -> Any:
    """Return a checker that Twisted or a plugin for its `--auth` brings.

    @raise LookupError: there is none of this kind.
    """
    try:
        return makeChecker(specification)  # type: ignore[no-untyped-call]
    except InvalidAuthType:
        if specification.partition(":")[0] == _PAM:
            # Its modules may block, and need root to check the passwords of others.
            raise LookupError("PAM is asked through Dovecot: use dovecot:unix:PATH, see docs/extending.md") from None
        kinds = ", ".join((LOCAL, *(f"{kind}:..." for kind in shipped), f"{_OWN}:NAME"))
        raise LookupError(f"there is no such kind; use {kinds}, or a checker of twisted.cred.strcred") from None
