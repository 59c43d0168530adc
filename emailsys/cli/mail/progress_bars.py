"""Progress bars on the terminal for a fetch and for sending a large message."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from emailsys.cli.mail.secret_prompt import ask_secret

if TYPE_CHECKING:
    from rich.progress import Progress as Drawn

    from emailsys.client.fetch.values import Progress
    from emailsys.client.send.sender import SendProgress

# Messages of at least this size, in octets, get a progress bar.
_LARGE: Final = 256 << 10
# Minimum time between two redraws, in seconds.
_BETWEEN: Final = 0.1


class ProgressBars:
    """Progress bars on standard error. They are drawn only if standard error is a terminal.

    Nothing is drawn before the first progress, because a keyring may ask for its own password until then.
    """

    def __init__(self, wanted: bool = True) -> None:
        """@param wanted: False draws nothing, because standard error has other lines."""
        self._wanted = wanted and sys.stderr.isatty()
        self._drawn: Drawn | None = None
        self._tasks: dict[str, Any] = {}
        self._last = 0.0
        self._at_the_end = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._at_the_end.close()

    def fetching(self, progress: Progress) -> None:
        """Show the progress of an account's fetch."""
        if not self._wanted:
            return
        from emailsys.client.display.list_text import size_text
        from emailsys.client.fetch.values import Stage
        from emailsys.client.text.terminal import safe_line

        if progress.stage is Stage.CONNECTING:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        drawn = self._begun(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        if progress.account not in self._tasks:
            self._tasks[progress.account] = drawn.add_task(progress.account, total=None, note="")
        done = progress.stage in (Stage.DONE, Stage.FAILED)
        drawn.update(
            self._tasks[progress.account],
            completed=progress.messages,
            total=progress.all_messages or None,
            note=f"{size_text(progress.octets)} {safe_line(progress.note or progress.stage.value)}",
            visible=not done,
        )
        self._draw(done)

    def sending(self, progress: SendProgress) -> None:
        """Show how much of a message was sent."""
        if not self._wanted or progress.all_octets < _LARGE:
            return
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

        drawn = self._begun(TextColumn("sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        if progress.key not in self._tasks:
            self._tasks[progress.key] = drawn.add_task("sending", total=progress.all_octets)
        done = progress.octets >= progress.all_octets
        drawn.update(self._tasks[progress.key], completed=progress.octets, visible=not done)
        self._draw(done)

    async def ask_secret(self, text: str) -> Any:
        """Hide the bars, and ask for a password."""
        if self._drawn is not None:
            self._drawn.stop()
        answer = await ask_secret(text)
        if self._drawn is not None:
            self._drawn.start()
        return answer

    def _begun(self, *columns: Any) -> Drawn:
        if self._drawn is None:
            from rich.console import Console
            from rich.progress import Progress as Drawn

            # Rich's refresh thread would draw over the password prompt.
            self._drawn = Drawn(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._at_the_end.enter_context(self._drawn)
        return self._drawn

    def _draw(self, at_once: bool) -> None:
        assert self._drawn is not None
        now = self._drawn.get_time()
        if at_once or now - self._last >= _BETWEEN:
            self._last = now
            self._drawn.refresh()
