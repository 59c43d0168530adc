"""The hashing threads from the settings, for the daemon and for its workers."""

from __future__ import annotations

from typing import Any

from twisted.python.threadpool import ThreadPool

from emailsys.config.settings import LoginSettings
from emailsys.platforms.threads import BackgroundThread
from emailsys.policy.hashing_threads import HashingThreads


def start_hashing(reactor: Any, settings: LoginSettings) -> HashingThreads:
    """Start the threads. They are a pool of their own: in the reactor's pool, logins would wait for name look-ups."""
    threads = ThreadPool(0, settings.hashing_threads, "hashing")
    threads.threadFactory = BackgroundThread
    hashing = HashingThreads(reactor, threads, settings.max_waiting)
    hashing.start()
    return hashing
