"""Passwords and tokens: from the system's keyring, a command, or a person; never written into a file."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, cast

from emailsys.client.accounts.values import Account, AccountError, Auth, SecretKind, Server

if TYPE_CHECKING:
    from twisted.internet.defer import DeferredLock

    from emailsys.client.base.threads import InThread

#: Asks a person: the text is shown, the answer is not. Raises EOFError where nobody answers.
Prompt = Callable[[str], Awaitable[str]]

# Under which name the keyring has them.
_SERVICE: Final = "emailsys"
# Seconds in which a command has to print; it may ask a person for a passphrase.
_PATIENCE: Final = 120.0
# A token of some providers has 4 KiB.
_MAX_OCTETS: Final = 64 * 1024


class Keyring(Protocol):
    """What is asked of the package keyring, which may be put in its place as it is."""

    def get_password(self, service: str, username: str) -> str | None:
        """The password, None if there is none."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""


def system_keyring() -> Keyring:
    """The keyring of the desktop or the operating system. @raise AccountError: there is none."""
    try:
        import keyring
        from keyring.backends.fail import Keyring as NoKeyring
    except ImportError:
        raise AccountError(
            "the package keyring is not installed (pip install keyring); or let a command print the password"
        ) from None
    try:
        backend = keyring.get_keyring()
    except Exception as error:
        # The environment or a file of settings names a backend that is not there.
        raise AccountError(
            f"the keyring that is set up cannot be used ({error}); `keyring diagnose` shows why"
        ) from error
    if isinstance(backend, NoKeyring):
        raise AccountError("this system has no keyring; let a command print the password, or type it when asked")
    return cast(Keyring, keyring)


def unlock(accounts: Iterable[Account], keyring: Callable[[], Keyring] = system_keyring) -> None:
    """Have a keyring that asks at the terminal ask now, before a full screen has the terminal; once is enough.

    The system's own keyrings ask in windows of their own, if at all: they are left alone.

    @raise AccountError: it did not get its password, or fails otherwise.
    """
    servers = [server for one in accounts for server in (one.pop3, one.smtp) if server is not None]
    wanted = [_name(server) for server in servers if server.secret.kind is SecretKind.KEYRING]
    if not wanted:
        return
    try:
        found = keyring()
    except AccountError:
        # It is told, and the password asked for, when somebody needs it.
        return
    backend = found.get_keyring() if hasattr(found, "get_keyring") else found
    if all(type(one).__module__.startswith("keyring.") for one in getattr(backend, "backends", [backend])):
        return
    try:
        found.get_password(_SERVICE, wanted[0])
    except Exception as error:
        raise AccountError(_trouble(error)) from error


def _trouble(error: Exception) -> str:
    """What is wrong with the keyring, for a person. Each backend has errors of its own; one class they share."""
    said = str(error) or type(error).__name__
    if any(one.__name__ == "KeyringLocked" for one in type(error).__mro__):
        return f"the keyring is locked ({said}); unlock it and try again"
    return said if isinstance(error, AccountError) else f"the keyring fails ({said})"


def _name(server: Server) -> str:
    """Under which name the keyring has the password: POP3 and submission mostly share it."""
    return f"{server.username}@{server.host}"


def first_line(command: tuple[str, ...], timeout: float = _PATIENCE) -> str:
    """What a command prints first; it is run without a shell and its messages go where ours go.

    @raise AccountError: it cannot be run, fails, or prints nothing.
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
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise AccountError(f"the command for the password ({shown}) printed none")
    return text


class Secrets:
    """Finds secrets, and keeps those that a person typed for as long as the program runs."""

    def __init__(
        self,
        in_thread: InThread,
        prompt: Prompt | None = None,
        keyring: Callable[[], Keyring] = system_keyring,
    ) -> None:
        """
        @param in_thread: such as `threads_of(reactor)`; keyrings and commands take their time.
        @param prompt: None if nobody can be asked.
        """
        self._in_thread = in_thread
        self._prompt = prompt
        self._keyring = keyring
        self._known: dict[str, str] = {}
        self._refused: set[str] = set()

    @cached_property
    def _one_at_a_time(self) -> DeferredLock:
        """Two accounts that are fetched side by side do not ask at once, and of one password once."""
        # A fetch does without Twisted, whose import would take as long as to connect and log in.
        from twisted.internet.defer import DeferredLock

        return DeferredLock()

    async def get(self, account: Account, server: Server) -> str:
        """The password or token. A person is asked where the keyring has none.

        @raise AccountError: there is none; the message says what to do.
        """
        await self._one_at_a_time.acquire()
        try:
            return await self.find(account, server)
        finally:
            self._one_at_a_time.release()

    async def find(self, account: Account, server: Server) -> str:
        """As `get`, for callers that see to it that there is one at a time."""
        if server.auth is Auth.NONE:
            return ""
        source, name = server.secret, _name(server)
        if source.kind is SecretKind.FILE:
            return source.value
        if source.kind is SecretKind.COMMAND:
            # Anew each time: a token lives for an hour.
            return await self._in_thread(lambda: first_line(source.command))
        if name in self._known:
            return self._known[name]
        problem, is_broken = "it is asked for each time", False
        if source.kind is SecretKind.KEYRING and name not in self._refused:
            try:
                found = await self._in_thread(lambda: self._keyring().get_password(_SERVICE, name))
            except Exception as error:
                problem, is_broken = _trouble(error), True
            else:
                if found:
                    return found
                problem = "the keyring has none"
        elif source.kind is SecretKind.KEYRING:
            problem = "the one in the keyring was refused"
        return await self._ask(account, server, problem, is_broken)

    async def _ask(self, account: Account, server: Server, problem: str, is_broken: bool) -> str:
        nothing = f"no password for {server.username} at {server} (account {account.name})"
        if self._prompt is None:
            raise AccountError(f"{nothing}: {problem}, and nobody can be asked here")
        # Who has a keyring wants to know why a password is to be typed after all.
        why = f" ({problem})" if is_broken else ""
        try:
            typed = await self._prompt(f"Password for {server.username} at {server.host}{why}: ")
        except EOFError:
            typed = ""
        except AccountError as error:
            raise AccountError(f"{nothing}: {problem}; {error}") from error
        if not typed:
            raise AccountError(f"{nothing}: none was typed")
        self._known[_name(server)] = typed
        return typed

    async def keep(self, account: Account, server: Server, secret: str) -> None:
        """Put a password into the keyring. @raise AccountError: that cannot be done."""
        name = _name(server)

        def put() -> str | None:
            keyring = self._keyring()
            keyring.set_password(_SERVICE, name, secret)
            # `keyring --disable` leaves a keyring that takes everything and keeps nothing.
            return keyring.get_password(_SERVICE, name)

        try:
            kept = await self._in_thread(put)
        except Exception as error:
            raise AccountError(f"the password of {account.name} is not kept: {_trouble(error)}") from error
        if kept != secret:
            raise AccountError(f"the password of {account.name} is not kept: the keyring took it, and has it not")
        self._refused.discard(_name(server))
        self._known[_name(server)] = secret

    async def forget(self, server: Server) -> None:
        """Take it out of the keyring and out of memory; does nothing where it is not."""
        self._known.pop(_name(server), None)
        try:
            await self._in_thread(lambda: self._keyring().delete_password(_SERVICE, _name(server)))
        except Exception:
            # There was none, or there is no keyring.
            return

    def remember(self, server: Server, secret: str) -> None:
        """Hold a password for as long as the program runs."""
        self._known[_name(server)] = secret

    def refused(self, server: Server) -> None:
        """The server did not take it: ask anew next time."""
        self._known.pop(_name(server), None)
        self._refused.add(_name(server))
