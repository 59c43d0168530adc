"""Where the store of the running daemon is, as operators read it."""

from __future__ import annotations

from emailsys.config.locations import without_password
from emailsys.config.settings import DATABASE_NAME, Settings
from emailsys.control.answers import Answer


class StoreLocation:
    """The location of the store that a daemon opened at its start."""

    def __init__(self, settings: Settings) -> None:
        url = settings.store.url
        #: The URL of the database without passwords. None for the default store.
        self.url = None if url is None else without_password(url)
        #: The same, or the file of the default store.
        self.shown = self.url or str(settings.state / DATABASE_NAME)

    def added_to(self, answer: Answer) -> Answer:
        """Return the answer to a command with the URL in it, if that is not the default store."""
        return answer if self.url is None else {**answer, "store": self.url}
