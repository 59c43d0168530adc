"""Controls of a mail server that need no waiting: look at mail, and script failures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emailsys.testing.failures import Failure

if TYPE_CHECKING:
    from emailsys.testing.message import Message
    from emailsys.testing.server import CatchServer


class Controls:
    """The part that `MailSystem` and the trial mixin have in common.

    @ivar host: the address it listens on.
    @ivar port: the port of SMTP.
    @ivar pop3_port: the port of POP3. A user name with an @ opens the mail for that address, any other all mail.
    """

    host: str
    port: int
    pop3_port: int
    _server: CatchServer

    def __repr__(self) -> str:
        count = len(self.messages)
        return f"<{type(self).__name__} {self.host}:{self.port}: {count} {'message' if count == 1 else 'messages'}>"

    @property
    def ca(self) -> Path | None:
        """The file with the certificate of the authority that clients must trust; None without TLS."""
        return self._server.ca

    @property
    def messages(self) -> list[Message]:
        """All messages that have arrived, oldest first."""
        return self._server.inbox.messages

    def fail(self, *failures: Failure | str) -> None:
        """Let failures happen from now on: `fail("451 at the first RCPT for x@")`.

        @raise FailureSyntaxError: a sentence is not understood. The message has examples.
        """
        for failure in failures:
            self._server.script.add(failure)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The failures that can still happen."""
        return self._server.script.failures

    @property
    def failed(self) -> list[str]:
        """The failures that happened, a line each."""
        return list(self._server.script.history)

    @property
    def log(self) -> list[str]:
        """The last lines of the server's log."""
        return list(self._server.log)

    def django_settings(self) -> dict[str, Any]:
        """Return the settings of Django that send mail here: `override_settings(**mail_system.django_settings())`."""
        return {
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": self.host,
            "EMAIL_PORT": self.port,
            "EMAIL_HOST_USER": "",
            "EMAIL_HOST_PASSWORD": "",
            "EMAIL_USE_TLS": False,
            "EMAIL_USE_SSL": False,
        }
