"""A reactor of our own in a background thread, beside any other event loop of the process (decision 0031)."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final, TypeVar

T = TypeVar("T")

_GLOBAL: Final = "twisted.internet.reactor"
# Seconds until a call into the reactor's thread counts as stuck.
_STUCK: Final = 30.0


class _LateReactor(ModuleType):
    """Stands in for the process's reactor while our modules are imported. Its first use gets the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(_GLOBAL), name)


@contextmanager
def no_reactor_installed() -> Iterator[None]:
    """Import modules of Twisted without the side effect that they install the default reactor.

    `twisted.mail.smtp` imports the global reactor. Tests that install another one later, such as the asyncio reactor,
    would fail with ReactorAlreadyInstalledError.
    """
    if _GLOBAL in sys.modules:
        yield
        return
    package = import_module("twisted.internet")
    placeholder = _LateReactor(_GLOBAL)
    sys.modules[_GLOBAL] = placeholder
    setattr(package, "reactor", placeholder)  # noqa: B010  # the attribute exists only once a reactor is installed
    try:
        yield
    finally:
        if sys.modules.get(_GLOBAL) is placeholder:
            del sys.modules[_GLOBAL]
        if getattr(package, "reactor", None) is placeholder:
            delattr(package, "reactor")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Leave out the search for unused cycles while modules are imported, which make many objects that stay.

    It would take a tenth of the CPU time of the import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def new_reactor() -> Any:
    """Return a reactor that is not the global one of the process."""
    if sys.platform == "linux":
        from emailsys.net.serving.reactor import MailReactor

        return MailReactor()
    from twisted.internet.selectreactor import SelectReactor

    return SelectReactor()


class ReactorThread:
    """The reactor and its thread. It is never the global reactor of the process."""

    def __init__(self) -> None:
        with _no_garbage_collection(), no_reactor_installed():
            # The modules of the server, too: they import the global reactor as well.
            import_module("emailsys.testing.server")
            self.reactor = new_reactor()
        running = threading.Event()
        self.reactor.callWhenRunning(running.set)
        self._thread = threading.Thread(
            target=self.reactor.run,
            kwargs={"installSignalHandlers": False},
            name="emailsys-testing",
            # It must not keep a test run alive that forgot to stop it.
            daemon=True,
        )
        self._thread.start()
        if not running.wait(_STUCK):
            raise RuntimeError("the reactor of emailsys.testing did not start")

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the reactor's thread; return or raise what it does. Blocks until then."""
        from twisted.internet.defer import Deferred

        if threading.current_thread() is self._thread:
            raise RuntimeError("called in the thread of the reactor, which must not block")
        future: Future[T] = Future()

        def begin() -> None:
            _ = Deferred.fromCoroutine(work()).addCallbacks(
                future.set_result, lambda failure: future.set_exception(failure.value)
            )

        self.reactor.callFromThread(begin)
        return future.result(_STUCK)

    def stop(self) -> None:
        """Stop the reactor, and wait for the end of its thread."""
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(_STUCK)


_lock: Final = threading.Lock()
_shared: ReactorThread | None = None


def shared_reactor_thread() -> ReactorThread:
    """Return the thread that all mail systems of this process share, started at the first call."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = ReactorThread()
        return _shared


def stop_shared_reactor_thread() -> None:
    """Stop that thread, if it runs. The next mail system starts another one."""
    global _shared
    with _lock:
        thread, _shared = _shared, None
    if thread is not None:
        thread.stop()


def _forget() -> None:
    # A forked child has no thread but the one that forked.
    global _lock, _shared
    _lock, _shared = threading.Lock(), None  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
