"""Options and parameter types that all commands share: --state, --config, --json, addresses; and refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.config.exit_status import Exit
from emailsys.config.locations import (
    BY_OPTION,
    NoHome,
    StateChoice,
    choose_state,
    default_state,
    find_config,
    store_text,
)
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.config.settings import Settings


# Key in the click context: the store that was already announced.
_ANNOUNCED: Final = "emailsys.store"


class Refused(click.ClickException):
    """The command cannot be carried out. The message says why and what to do."""

    def __init__(self, message: str, status: Exit = Exit.DATA) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: Any = None) -> None:
        """Print one line to stderr."""
        click.echo(f"emailsys: {self.message}", err=True)


class NoStore(Refused):
    """There is no store: neither here nor in the running daemon."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.NO_INPUT)


@dataclass(frozen=True, slots=True)
class Places:
    """The state folder and the configuration file that the command line and the environment chose."""

    state: StateChoice
    config: Path | None
    # Whether --config or $EMAILSYS_CONFIG named the file.
    is_named: bool = False

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self.state.folder

    def settings(self) -> Settings:
        """Read the configuration.

        @raise ConfigError: the configuration is wrong.
        @raise StartupError: root would read a file that another user can change.
        """
        from emailsys.config.loader import load
        from emailsys.supervisor import check_configuration

        return load(self.config, self.folder, check_configuration)

    def _is_surprise(self, url: str | None) -> bool:
        """Whether there is another store besides the one in use, which the command line does not name.

        A database has one besides it if the state folder has a file. A folder that the environment names has one if
        the default folder has a file.
        """
        if url is None and self.state.reason == BY_OPTION:
            return False
        from emailsys.config.settings import DATABASE_NAME
        from emailsys.platforms.users import is_root

        try:
            other = self.folder if url is not None else default_state(os.environ, is_root())
            return other is not None and (other / DATABASE_NAME).exists()
        except OSError:
            # A folder that this user may not search.
            return True

    def announce(self, url: str | None = None) -> None:
        """Print to stderr which store is used if another one could be meant, once in a command.

        @param url: the `store.url` of the configuration in force.
        """
        store = store_text(self.state, url)
        if store is None or not self._is_surprise(url):
            return
        context = click.get_current_context(silent=True)
        announced = {} if context is None else context.find_root().meta
        if announced.get(_ANNOUNCED) != store:
            announced[_ANNOUNCED] = store
            click.echo(f"emailsys: {store}", err=True)


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --state and --config to a command."""
    add_state = click.option(
        "--state",
        metavar="DIR",
        help="State folder. Default: $EMAILSYS_STATE, /var/lib/emailsys (root), ~/.local/state/emailsys (others).",
    )
    add_config = click.option(
        "--config",
        metavar="FILE",
        help="Configuration. Default: the first of $EMAILSYS_CONFIG, /etc/emailsys/emailsys.toml, DIR/emailsys.toml.",
    )
    return add_state(add_config(function))


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --state and --config to a command; its first argument is the Places."""

    @place_options
    @wraps(function)
    def command(*arguments: Any, state: str | None, config: str | None, **options: Any) -> Any:
        return function(choose_places(state, config), *arguments, **options)

    return command


def choose_places(state: str | None, config: str | None) -> Places:
    """Choose the places by the options and the environment.

    @raise Refused: a path depends on a home folder, and there is none.
    """
    from emailsys.platforms.users import is_root

    try:
        choice = choose_state(state, os.environ, is_root())
        found = find_config(config, os.environ, choice.folder)
    except NoHome as error:
        raise Refused(str(error), Exit.USAGE) from None
    is_named = bool(config or os.environ.get("EMAILSYS_CONFIG"))
    return Places(choice, found, is_named)


class AddressType(click.ParamType[Address]):
    """A mail address with a domain."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Parse it, or fail with the reason."""
        if isinstance(value, Address):
            return value
        from emailsys.mail.address import AddressSyntaxError, parse

        try:
            return parse(value)
        except AddressSyntaxError as error:
            self.fail(f"{value!r} is no mail address: {error}", param, ctx)


ADDRESS = AddressType()


class AddressOrDomainType(click.ParamType[Address]):
    """A mail address, or @domain, which becomes an address with an empty local part."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Parse it, or fail with the reason."""
        if isinstance(value, str) and value.startswith("@"):
            from emailsys.mail.address import Address, is_domain

            if not is_domain(value[1:]):
                self.fail(f"{value!r} names no domain", param, ctx)
            return Address("", value[1:])
        return ADDRESS.convert(value, param, ctx)


ADDRESS_OR_DOMAIN = AddressOrDomainType()

#: Why a command with many objects has no --if-missing.
SINGLE: Final = "--if-missing is for a single object; `emailsys apply` makes many as a file declares them."

if_missing = click.option("--if-missing", is_flag=True, help="If it exists already, succeed and leave it as it is.")

ca_file = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Authorities to trust, PEM. Default: those of the system.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one document.")
