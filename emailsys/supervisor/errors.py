"""The error that ends the start of the daemon."""

from __future__ import annotations

from emailsys.config.exit_status import Exit


class StartupError(Exception):
    """The daemon cannot start. The message is one line for the operator; `status` is the exit status."""

    def __init__(self, message: str, status: Exit) -> None:
        super().__init__(message)
        self.status = status
