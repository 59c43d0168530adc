"""Reload of the configuration: read and checked as a whole first, then applied where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from twisted.python.failure import Failure

from emailsys.config.loader import ConfigError, load
from emailsys.config.settings import CertificateFiles, Listen, Settings
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry

# Keys that a running daemon applies: each itself, and all keys below it.
_LIVE: Final = (
    "limits.half_life",
    "limits.max_failed_logins",
    "limits.max_unknown_recipients",
    "login.min_password_length",
    "monitoring.log_level",
    "monitoring.mail_log",
    "outbound.tls",
    "pop3",
    "queue",
    "routing.routes",
    "sending",
    "smtp",
    "store.default_quota",
    "tls",
)
# Exceptions below those keys.
_NOT_LIVE: Final = ("pop3.takeover_after", "pop3.workers", "pop3.maildrops", "pop3.maildrop_deadline")
# Why a restart is needed, for the beginnings of keys. The first that fits counts.
_REASONS: Final = (
    ("hostname", "all parts of the daemon are built with the name"),
    ("user", "a process changes its user only while it starts"),
    ("group", "a process changes its group only while it starts"),
    ("listen.", "the daemon binds its ports while it starts, before it gives up the rights of root"),
    ("monitoring.metrics_listen", "the daemon binds its ports while it starts"),
    ("monitoring.log_format", "the log is opened while the daemon starts"),
    ("web.", "the web face is built while the daemon starts"),
    ("checks.", "plugins are loaded while the daemon starts"),
    ("store.", "the store is opened while the daemon starts"),
    ("workers", "the worker processes are counted while the daemon starts"),
    ("pop3.workers", "the worker processes are counted while the daemon starts"),
    ("pop3.maildrop", "plugins are loaded while the daemon starts"),
    ("pop3.takeover_after", "the store is opened while the daemon starts"),
    ("outbound.", "connections to other hosts are built with it"),
    ("routing.trusted_networks", "all limits are built with the trusted networks"),
)
_OTHER_REASON: Final = "it is read only while the daemon starts"

SettingsT = TypeVar("SettingsT")


def is_live(key: str) -> bool:
    """Return whether a running daemon applies a change of a key."""
    return key not in _NOT_LIVE and any(key == live or key.startswith(f"{live}.") for live in _LIVE)


def why_restart(key: str) -> str:
    """Return why a change of a key requires a restart."""
    return next((why for start, why in _REASONS if key.startswith(start)), _OTHER_REASON)


def changed_keys(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the key paths of the settings that differ, as the configuration writes them."""
    for field in fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new or field.name in ("state", "source"):
            continue
        if isinstance(old, Listen):
            yield f"listen.{field.name.removesuffix('_listen')}"
        elif is_dataclass(old):
            yield from changed_keys(old, new, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}"


def with_live(before: SettingsT, after: SettingsT, path: str = "") -> SettingsT:
    """Return the settings with the new values of live keys, and the former values of the others."""
    values: dict[str, Any] = {}
    for field in fields(before):  # type: ignore[arg-type]  # a dataclass of settings
        old, new = getattr(before, field.name), getattr(after, field.name)
        key = f"{path}{field.name}"
        if is_dataclass(old) and not isinstance(old, Listen):
            values[field.name] = with_live(old, new, f"{key}.")
        elif is_live(key):
            values[field.name] = new
    return replace(before, **values)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The outcome of a reload.

    @ivar problems: what is wrong with the configuration, a line each. If there are any, nothing was changed.
    @ivar applied: the keys that are in force now; with `--check`, those that would be.
    @ivar restart: the keys that require a restart, and why.
    """

    problems: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    restart: tuple[tuple[str, str], ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the configuration was right."""
        return not self.problems

    def as_json(self) -> Mapping[str, Any]:
        """Return the answer of the command `reload`."""
        return {
            "problems": list(self.problems),
            "applied": list(self.applied),
            "restart": [{"key": key, "why": why} for key, why in self.restart],
        }


class Reload:
    """Reads the configuration of a running daemon again.

    @param settings: those in force at the start.
    @param certificates: returns the certificate files of settings.
    @param fit: lowers connection limits to what the process can open.
    @param apply: puts settings into force of which only live keys have changed.
    """

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        certificates: Callable[[Settings], tuple[CertificateFiles, ...]],
        fit: Callable[[Settings], Settings],
        apply: Callable[[Settings], None],
    ) -> None:
        self._source, self._state = settings.source, settings.state
        self._running = settings
        self._telemetry = telemetry
        self._certificates = certificates
        self._fit = fit
        self._apply = apply
        # Those of the daemon may differ from the file: a free port in place of 0, fewer connections.
        try:
            self._read = load(self._source, self._state)
        except ConfigError:
            # The user of the daemon cannot read the file. The next comparison says so.
            self._read = settings

    def run(self, only_check: bool, before: Callable[[], None], after: Callable[[], None]) -> Reloaded:
        """Reload, between two other steps. If a step fails, the others are still done. A check is the reload alone."""
        outcome = Reloaded(("unexpected exception; see the daemon's log",))

        def reload() -> None:
            nonlocal outcome
            outcome = self.reload(only_check)

        for step in (reload,) if only_check else (before, reload, after):
            try:
                step()
            except Exception:
                self._telemetry.exception("reload-exception", Failure())
        return outcome

    def reload(self, only_check: bool = False) -> Reloaded:
        """Read the configuration, and apply what changed. If it is wrong, log why, and keep the former one.

        @param only_check: change nothing, and log nothing.
        """
        try:
            found = load(self._source, self._state)
            if found.tls.certificates != self._read.tls.certificates:
                self._check_certificates(found)
        except ConfigError as error:
            if not only_check:
                self._telemetry.event("config-refused", why="; ".join(error.problems))
            return Reloaded(tuple(error.problems))
        keys = list(changed_keys(self._read, found))
        applied = tuple(key for key in keys if is_live(key))
        restart = tuple((key, why_restart(key)) for key in keys if not is_live(key))
        if not only_check:
            self._put_into_force(found, applied)
            if restart:
                self._telemetry.event("restart-needed", settings=",".join(key for key, _ in restart))
        return Reloaded((), applied, restart)

    def _check_certificates(self, found: Settings) -> None:
        """@raise ConfigError: certificates that the file names now cannot be served."""
        try:
            problems = list(ServerTLS(self._certificates(found)).refused)
        except (TLSConfigError, StartupError) as error:
            problems = [str(error)]
        if problems:
            raise ConfigError([f"{found.source}: tls.certificates: {problem}" for problem in problems])

    def _put_into_force(self, found: Settings, applied: tuple[str, ...]) -> None:
        if not applied:
            return
        running = self._fit(with_live(self._running, found))
        # If this fails, the next reload finds the same differences, and tries again.
        self._apply(running)
        self._read, self._running = with_live(self._read, found), running
        self._telemetry.event("config-reloaded", settings=",".join(applied))
