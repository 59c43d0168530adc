"""Secrets for whoever may block: a fetch has no reactor to wait on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from emailsys.client.accounts.secrets import Prompt, Secrets
from emailsys.client.accounts.values import Account, AccountError, Server

T = TypeVar("T")


class BlockingSecrets(Protocol):
    """What a fetch asks. Any thread may call it."""

    def get(self, account: Account, server: Server) -> str:
        """The password or token; blocks until it is there. @raise AccountError: there is none; what to do."""
        ...

    def refused(self, server: Server) -> None:
        """The server did not take it: ask anew next time."""
        ...


class _Done(Generic[T]):
    """What nobody has to wait for."""

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value


def run_here(function: Callable[[], T]) -> _Done[T]:
    """An `InThread` that calls where it is called."""
    return _Done(function())


def run_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("it waits for something")


class CommandSecrets:
    """The secrets of a command: who has to be asked is asked by the thread that wants to know, one at a time."""

    def __init__(self, prompt: Prompt | None = None) -> None:
        """@param prompt: a coroutine that waits for nothing but the person."""
        self._secrets = Secrets(run_here, prompt)
        self._one_at_a_time = Lock()
        self._ahead: dict[tuple[str, str], str | AccountError] = {}

    def get(self, account: Account, server: Server) -> str:
        """The password or token. @raise AccountError: there is none; the message says what to do."""
        with self._one_at_a_time:
            found = self._ahead.pop((account.name, str(server)), None)
            if isinstance(found, AccountError):
                raise found
            return run_to_completion(self._secrets.find(account, server)) if found is None else found

    def prefetch(self, account: Account, server: Server) -> None:
        """Find what `get` will be asked for next: the main thread is the one that Ctrl-C reaches at a prompt."""
        try:
            found: str | AccountError = self.get(account, server)
        except AccountError as error:
            found = error
        self._ahead[account.name, str(server)] = found

    def refused(self, server: Server) -> None:
        """The server did not take it: ask anew next time."""
        self._secrets.refused(server)
