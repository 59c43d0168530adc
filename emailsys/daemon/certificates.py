"""Certificates of the running daemon: read again when their files change, and watched for their expiry."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from emailsys.config.settings import CertificateFiles
from emailsys.control.request_values import time_field
from emailsys.daemon.sent_notices import SentNotices
from emailsys.interfaces import StoreError
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry

# Seconds between two checks. A clock that was wrong at the start, or a pair that was half written, is noticed then.
CHECK_EVERY: Final = 3600.0
# Seconds between two readings while all certificates are good. They renew the ticket keys too (RFC 9325 §4.3.1).
READ_EVERY: Final = 86400.0
# Seconds between two looks at the dates of the files. Files that have changed are read when they have stayed the same
# from one look to the next: a chain that is written before its key, or is half written, waits.
LOOK_EVERY: Final = 30.0


def _state_of(certificates: Sequence[CertificateFiles]) -> Sequence[object]:
    """Return what changes with each change of the files. A link that leads to another file counts, too."""
    states: list[object] = []
    for path in (path for files in certificates for path in (files.chain, files.key)):
        try:
            status = path.stat()
        except OSError as error:
            states.append(error.errno)
        else:
            states.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return states


#: Sends a notice with these sentences to the postmaster; returns whether there is one.
Mail = Callable[[Sequence[str]], Coroutine[Any, Any, bool]]


class CertificateWatch:
    """Keeps the certificates of a daemon current, and reports those that are invalid or expire soon.

    @param reactor: with time.
    @param certificates: returns the certificate files; those of the development CA are renewed if necessary.
    @param sent: the notices that the postmaster has received.
    """

    def __init__(
        self,
        reactor: Any,
        tls: ServerTLS,
        telemetry: Telemetry,
        certificates: Callable[[], tuple[CertificateFiles, ...]],
        sent: SentNotices,
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._telemetry = telemetry
        self._certificates = certificates
        self._sent = sent
        self._mail: Mail | None = None
        self._mailing = False
        #: Called when the certificates were read again.
        self.reloaded: Callable[[], None] | None = None
        self._read_at = 0.0
        self._checking = LoopingCall(self._check)
        self._checking.clock = reactor
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        # The state of the files when they were read, and at the last look.
        self._when_read: Sequence[object] = ()
        self._when_seen: Sequence[object] = ()

    def start(self) -> None:
        """Report the certificates that were read before the start, and begin with the checks."""
        self._read_at = self._reactor.seconds()
        self._when_read = self._when_seen = _state_of(self._tls.certificates)
        self._report()
        _ = self._checking.start(CHECK_EVERY, now=False)
        _ = self._looking.start(LOOK_EVERY, now=False)

    def stop(self) -> None:
        """Stop the checks, and send no more notices. A second call does nothing."""
        self._mail = None
        for calls in (self._checking, self._looking):
            if calls.running:
                calls.stop()

    def reload(self) -> None:
        """Read the certificates again. Those that cannot be served are logged; what was served in their place stays."""
        self._read_at = self._reactor.seconds()
        try:
            files = self._certificates()
            self._when_read = self._when_seen = _state_of(files)
            self._tls.reload(files)
        except (TLSConfigError, StartupError) as error:
            self._telemetry.event("certificates-refused", why=str(error))
        except Exception:
            # Neither the next check nor the other steps of SIGHUP depend on this one.
            self._telemetry.exception("certificates-exception", Failure())
        else:
            self._telemetry.event("certificates-reloaded", expire=self._tls.not_valid_after)
            if self.reloaded is not None:
                self.reloaded()
        self._report()

    def mail_by(self, mail: Mail) -> None:
        """Send notices to the postmaster from now on, when there is a store."""
        self._mail = mail
        self._notify()

    def status(self) -> Mapping[str, Any]:
        """Return when the first certificate expires, and what an operator should act on."""
        problems = [*self._tls.refused, *self._tls.invalid(), *self._tls.concerns()]
        return {"expires": time_field(self._tls.not_valid_after), "problems": list(dict.fromkeys(problems))}

    def _look(self) -> None:
        """Read the files if they have changed, and are no longer being written."""
        before, self._when_seen = self._when_seen, _state_of(self._tls.certificates)
        if self._when_seen == before != self._when_read:
            self.reload()

    def _check(self) -> None:
        due = self._reactor.seconds() - self._read_at >= READ_EVERY
        if due or self._tls.refused or self._tls.invalid():
            self.reload()
        else:
            self._notify()

    def _notify(self) -> None:
        _ = Deferred.fromCoroutine(self._send_notice()).addErrback(
            lambda failure: self._telemetry.exception("certificates-exception", failure)
        )

    async def _send_notice(self) -> None:
        """Send one notice about what the postmaster does not know yet. What fails is tried again at the next check."""
        notices = self._tls.notices()
        new = [why for key, why in notices.items() if key not in self._sent.keys]
        if not new or self._mail is None or self._mailing:
            return
        self._mailing = True
        try:
            is_sent = await self._mail(new)
        except StoreError as error:
            self._telemetry.event("certificate-notice-postponed", error=str(error))
        else:
            if is_sent:
                self._sent.replace(notices)
        finally:
            self._mailing = False

    def _report(self) -> None:
        for why in self._tls.refused:
            self._telemetry.event("certificates-refused", why=why)
        for why in self._tls.invalid():
            self._telemetry.alarm("certificate-invalid", why=why)
        for why in self._tls.concerns():
            self._telemetry.event("certificate-warning", why=why)
        self._notify()
