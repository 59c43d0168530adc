"""Passwords and tokens from the system's keyring, a command, or a prompt; never written to a file."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, cast

from emailsys.client.accounts.values import Account, AccountError, Auth, SecretKind, Server

if TYPE_CHECKING:
    from twisted.internet.defer import DeferredLock

    from emailsys.client.base.threads import InThread

#: Prompts the user with a text and hides the answer. Raises EOFError if there is no answer.
Prompt = Callable[[str], Awaitable[str]]

# Service name in the keyring.
_SERVICE: Final = "emailsys"
# Seconds for a command, which may ask the user for a passphrase.
_COMMAND_TIMEOUT: Final = 120.0
# Some providers' tokens have 4 KiB.
_MAX_OCTETS: Final = 64 * 1024


class Keyring(Protocol):
    """The functions of the package keyring that this module calls."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return the password, or None."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a password."""

    def delete_password(self, service: str, username: str) -> None:
        """Delete a password."""


def system_keyring() -> Keyring:
    """Return the keyring of the desktop or operating system. @raise AccountError: there is none."""
    try:
        import keyring
        from keyring.backends.fail import Keyring as NoKeyring
    except ImportError:
        from emailsys.platforms.packages import pip_install

        raise AccountError(
            f"the package keyring is not installed ({pip_install('keyring')}); or let a command print the password"
        ) from None
    try:
        backend = keyring.get_keyring()
    except Exception as error:
        # The environment or keyring's configuration names a missing backend.
        raise AccountError(
            f"the keyring that is set up cannot be used ({error}); `keyring diagnose` shows why"
        ) from error
    if isinstance(backend, NoKeyring):
        raise AccountError("this system has no keyring; let a command print the password, or type it when asked")
    return cast(Keyring, keyring)


def unlock(accounts: Iterable[Account], keyring: Callable[[], Keyring] = system_keyring) -> None:
    """Unlock a keyring that prompts on the terminal, before the full screen takes the terminal over.

    The backends of the package keyring prompt in windows of their own, and are not touched.

    @raise AccountError: the keyring was not unlocked, or failed.
    """
    servers = [server for one in accounts for server in (one.pop3, one.smtp) if server is not None]
    wanted = [_name(server) for server in servers if server.secret.kind is SecretKind.KEYRING]
    if not wanted:
        return
    try:
        found = keyring()
    except AccountError:
        # Reported when a password is needed; then the user is asked for it.
        return
    backend = found.get_keyring() if hasattr(found, "get_keyring") else found
    if all(type(one).__module__.startswith("keyring.") for one in getattr(backend, "backends", [backend])):
        return
    try:
        found.get_password(_SERVICE, wanted[0])
    except Exception as error:
        raise AccountError(_trouble(error)) from error


def _trouble(error: Exception) -> str:
    """Describe an error of a keyring. Backends have their own exceptions, and share only KeyringLocked."""
    said = str(error) or type(error).__name__
    if any(one.__name__ == "KeyringLocked" for one in type(error).__mro__):
        return f"the keyring is locked ({said}); unlock it and try again"
    return said if isinstance(error, AccountError) else f"the keyring fails ({said})"


def _name(server: Server) -> str:
    """Return the user name in the keyring. POP3 and submission usually share it."""
    return f"{server.username}@{server.host}"


def first_line(command: tuple[str, ...], timeout: float = _COMMAND_TIMEOUT) -> str:
    """Run a command without a shell, and return its first line. Its stderr is inherited.

    @raise AccountError: the command cannot be run, fails, or prints nothing.
    """
    shown = command[0] if command else "no command"
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=timeout, check=False)  # noqa: S603 - the user's own
    except (OSError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it is empty"
        raise AccountError(f"the command for the password cannot be run ({shown}): {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise AccountError(f"the command for the password ({shown}) did not end within {timeout:g} s") from error
    if done.returncode:
        raise AccountError(f"the command for the password ({shown}) failed with exit status {done.returncode}")
    line = done.stdout[:_MAX_OCTETS].split(b"\n", 1)[0].rstrip(b"\r")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise AccountError(f"the command for the password ({shown}) printed no password")
    return text


class Secrets:
    """Finds secrets. Passwords that the user types are remembered while the program runs."""

    def __init__(
        self,
        in_thread: InThread,
        prompt: Prompt | None = None,
        keyring: Callable[[], Keyring] = system_keyring,
    ) -> None:
        """
        @param in_thread: for example `threads_of(reactor)`; keyrings and commands block.
        @param prompt: None if the user cannot be asked.
        """
        self._in_thread = in_thread
        self._prompt = prompt
        self._keyring = keyring
        self._known: dict[str, str] = {}
        self._refused: set[str] = set()

    @cached_property
    def _lock(self) -> DeferredLock:
        """Serializes requests: concurrent fetches never prompt at once, nor twice for the same password."""
        # A fetch avoids importing Twisted, which takes as long as connecting and logging in.
        from twisted.internet.defer import DeferredLock

        return DeferredLock()

    async def get(self, account: Account, server: Server, may_ask: bool = True) -> str:
        """Return the password or token. Prompt the user if the keyring has none.

        @param may_ask: whether the user may be prompted.
        @raise AccountError: there is none; the message says what to do.
        """
        await self._lock.acquire()
        try:
            return await self.find(account, server, may_ask)
        finally:
            self._lock.release()

    async def find(self, account: Account, server: Server, may_ask: bool = True) -> str:
        """As `get`, for callers that serialize the requests themselves."""
        if server.auth is Auth.NONE:
            return ""
        source, name = server.secret, _name(server)
        if source.kind is SecretKind.FILE:
            return source.value
        if source.kind is SecretKind.COMMAND:
            # Run each time: tokens expire within an hour.
            return await self._in_thread(lambda: first_line(source.command))
        if name in self._known:
            return self._known[name]
        problem, has_failed = "it is asked for each time", False
        if source.kind is SecretKind.KEYRING and name not in self._refused:
            try:
                found = await self._in_thread(lambda: self._keyring().get_password(_SERVICE, name))
            except Exception as error:
                problem, has_failed = _trouble(error), True
            else:
                if found:
                    return found
                problem = "the keyring has none"
        elif source.kind is SecretKind.KEYRING:
            problem = "the one in the keyring was refused"
        return await self._ask(account, server, problem, has_failed, may_ask)

    async def _ask(self, account: Account, server: Server, problem: str, has_failed: bool, may_ask: bool) -> str:
        missing = f"no password for {server.username} at {server} (account {account.name})"
        if self._prompt is None:
            raise AccountError(f"{missing}: {problem}, and the user cannot be asked here")
        if not may_ask:
            raise AccountError(f"{missing}: {problem}; fetch yourself, and you are asked for it")
        # Tells users of a keyring why they have to type a password.
        why = f" ({problem})" if has_failed else ""
        try:
            typed = await self._prompt(f"Password for {server.username} at {server.host}{why}: ")
        except EOFError:
            typed = ""
        except AccountError as error:
            raise AccountError(f"{missing}: {problem}; {error}") from error
        if not typed:
            raise AccountError(f"{missing}: no password was typed")
        self._known[_name(server)] = typed
        return typed

    async def keep(self, account: Account, server: Server, secret: str) -> None:
        """Store a password in the keyring. @raise AccountError: the keyring failed."""
        name = _name(server)

        def put() -> str | None:
            keyring = self._keyring()
            keyring.set_password(_SERVICE, name, secret)
            # After `keyring --disable`, the keyring accepts passwords without storing them.
            return keyring.get_password(_SERVICE, name)

        try:
            kept = await self._in_thread(put)
        except Exception as error:
            raise AccountError(f"the password of {account.name} could not be stored: {_trouble(error)}") from error
        if kept != secret:
            raise AccountError(
                f"the password of {account.name} could not be stored: the keyring accepted it but does not return it"
            )
        self._refused.discard(_name(server))
        self._known[_name(server)] = secret

    async def forget(self, server: Server) -> None:
        """Delete a password from keyring and memory, if it is there."""
        self._known.pop(_name(server), None)
        try:
            await self._in_thread(lambda: self._keyring().delete_password(_SERVICE, _name(server)))
        except Exception:
            # There was no password, or there is no keyring.
            return

    def remember(self, server: Server, secret: str) -> None:
        """Remember a password while the program runs."""
        self._known[_name(server)] = secret

    def refused(self, server: Server) -> None:
        """Record that the server rejected the secret: the user is asked the next time."""
        self._known.pop(_name(server), None)
        self._refused.add(_name(server))
