"""Blocking access to secrets, for a fetch, which has no reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from emailsys.client.accounts.secrets import Prompt, Secrets
from emailsys.client.accounts.values import Account, AccountError, Server

T = TypeVar("T")


class BlockingSecrets(Protocol):
    """Secrets for a fetch. Any thread may call it."""

    def get(self, account: Account, server: Server) -> str:
        """Return the password or token. Blocks. @raise AccountError: there is none; the message says what to do."""
        ...

    def refused(self, server: Server) -> None:
        """Record that the server rejected the secret: the user is asked the next time."""
        ...


class _Done(Generic[T]):
    """An awaitable that is already done."""

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value


def run_here(function: Callable[[], T]) -> _Done[T]:
    """An `InThread` that calls the function in the current thread."""
    return _Done(function())


def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits. Return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine waits")


class CommandSecrets:
    """Secrets of a command. A thread that needs a secret asks the user itself, one thread at a time."""

    def __init__(self, prompt: Prompt | None = None) -> None:
        """@param prompt: a coroutine that blocks until the user answers, and never waits for a reactor."""
        self._secrets = Secrets(run_here, prompt)
        self._lock = Lock()
        self._prefetched: dict[tuple[str, str], str | AccountError] = {}

    def get(self, account: Account, server: Server) -> str:
        """Return the password or token. @raise AccountError: there is none; the message says what to do."""
        with self._lock:
            found = self._prefetched.pop((account.name, str(server)), None)
            if isinstance(found, AccountError):
                raise found
            return run_to_completion(self._secrets.find(account, server)) if found is None else found

    def prefetch(self, account: Account, server: Server) -> None:
        """Find a secret before `get` needs it: only the main thread can be interrupted by Ctrl-C at a prompt."""
        try:
            found: str | AccountError = self.get(account, server)
        except AccountError as error:
            found = error
        self._prefetched[account.name, str(server)] = found

    def refused(self, server: Server) -> None:
        """Record that the server rejected the secret: the user is asked the next time."""
        self._secrets.refused(server)
