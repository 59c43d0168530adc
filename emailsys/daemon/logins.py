"""Logins of the daemon whose passwords other systems know: their checkers are loaded at the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emailsys.config.exit_status import Exit
from emailsys.config.settings import LoginSettings
from emailsys.extension import CheckContext
from emailsys.interfaces.operators import IAccounts
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.plugins import Make, PluginError
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.login_plugins import LOCAL, load_checkers
from emailsys.policy.outside_logins import OutsideLogins
from emailsys.policy.password_change import PasswordChanges
from emailsys.store.open import Store
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry


def _ldap(context: CheckContext) -> Any:
    from emailsys.net.outbound.ldap_login import LDAPLogin

    return LDAPLogin(context)


def _dovecot(context: CheckContext) -> Any:
    from emailsys.net.outbound.dovecot_login import DovecotLogin

    return DovecotLogin(context)


SHIPPED: Mapping[str, Make] = {"ldap": _ldap, "ldaps": _ldap, "ldapi": _ldap, "dovecot": _dovecot}


class DaemonLogins:
    """The checkers of the daemon. Without any, only passwords that are stored here open accounts."""

    def __init__(
        self,
        settings: LoginSettings | None = None,
        checkers: Sequence[tuple[str, Any]] = (),
        reactor: Any = None,
    ) -> None:
        self._settings = settings or LoginSettings()
        self._checkers = checkers
        self._reactor = reactor
        self._calls: Calls | None = None

    def password_changes(
        self, accounts: IAccounts, hashing: HashingThreads, telemetry: Telemetry
    ) -> PasswordChanges | None:
        """Return the service by which users change their passwords. None if another system knows some of them."""
        if self._checkers:
            return None
        return PasswordChanges(accounts, hashing, telemetry, self._settings.min_password_length)

    def serve(self, store: Store, telemetry: Telemetry) -> OutsideLogins | None:
        """Ask the checkers from now on. None if there are none."""
        if not self._checkers:
            return None
        self._calls = calls = Calls(self._reactor, self._settings.auth_deadline, telemetry)
        calls.watch()
        accounts = store.accounts if self._settings.create_accounts else None
        return OutsideLogins(self._checkers, calls, self._reactor, telemetry, store.directory, accounts)

    def stop(self) -> None:
        """Ask no more."""
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.stop()


def load_logins(settings: LoginSettings, hostname: str, reactor: Any) -> DaemonLogins:
    """Load the checkers that the configuration names.

    @raise StartupError: one of them cannot be loaded.
    """
    if settings.auth == (LOCAL,):
        return DaemonLogins(settings)
    try:
        checkers = load_checkers(settings.auth, hostname, reactor, SHIPPED)
    except PluginError as error:
        raise StartupError(f"login.auth: {error}", Exit.CONFIG) from None
    return DaemonLogins(settings, checkers, reactor)
