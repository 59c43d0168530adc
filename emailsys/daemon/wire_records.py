"""Recorded connections of the daemon. The recorder is made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from emailsys.config.monitoring_settings import WiretapSettings
from emailsys.interfaces.operators.wire import Hear, IWireRecords, TracedStep
from emailsys.interfaces.wiretap import ITap, IWiretap

if TYPE_CHECKING:
    from emailsys.wiretap.conversation import Role
    from emailsys.wiretap.recorder import Recorder
    from emailsys.wiretap.tls.observer import TLSObserver


@implementer(IWiretap, IWireRecords)
class WireRecords:
    """A recorder with the limits of the settings. A daemon that records nothing does not even import it."""

    def __init__(self, settings: WiretapSettings) -> None:
        self._settings = settings
        self._made: Recorder | None = None
        #: Whether connections that begin now are recorded.
        self.is_on = settings.enabled

    @property
    def _recorder(self) -> Recorder:
        if self._made is None:
            from emailsys.wiretap.recorder import Recorder

            self._made = Recorder(**asdict(self._settings), observe=_observe)
        return self._made

    def begin(self, protocol: str, as_client: bool, session: str = "") -> ITap:
        return self._recorder.begin(protocol, as_client, session)

    def conversations(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return self._recorder.conversations(limit)

    def conversation(self, session: str) -> Mapping[str, Any] | None:
        return self._recorder.conversation(session)

    def sessions_of(self, steps: Sequence[TracedStep]) -> Sequence[str]:
        return self._made.sessions_of(steps) if self._made is not None else [""] * len(steps)

    def watch(self, hear: Hear, past: int) -> Callable[[], None]:
        recorder = self._recorder
        end = recorder.watch(hear, past)
        self.is_on = recorder.is_on

        def stop() -> None:
            end()
            self.is_on = recorder.is_on

        return stop


def _observe(role: Role) -> TLSObserver:
    from emailsys.wiretap.tls.observer import TLSObserver

    return TLSObserver(role)
