"""Options --wire and --wire-to: the connections of a mail verb as explained lines, as a page, or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.wiretap.conversation import Conversation
    from emailsys.wiretap.recorder import Recorder

# The newest connections that are kept for a page, and octets of each.
_CONVERSATIONS: Final = 50
_OCTETS: Final = 256 * 1024
# The key of the Wire in the context of a command.
_META: Final = "emailsys.wire"


def wire_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb --wire and --wire-to. Its session records the connections if one of them is given."""
    for option in (
        click.option(
            "--wire-to",
            type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
            metavar="FILE",
            expose_value=False,
            callback=_write_to,
            help="Write the conversation with the server to an HTML page, or as JSON to FILE.json or -.",
        ),
        click.option(
            "--wire",
            is_flag=True,
            expose_value=False,
            callback=_show_lines,
            help="Show on standard error each line that goes over the network, with its meaning. Passwords are masked.",
        ),
    ):
        function = option(function)
    return function


def _show_lines(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        _wire_of(ctx).show_lines()


def _write_to(ctx: click.Context, param: click.Parameter, file: Path | None) -> None:
    if file is not None:
        _check_folder(file)
        wire = _wire_of(ctx)
        ctx.call_on_close(lambda: wire.write(file))


def _check_folder(file: Path) -> None:
    """Find out before anything is sent whether the file can be made: a message that is sent again arrives twice."""
    folder = file.resolve().parent
    if str(file) == "-" or (file.exists() and not file.is_file()):
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Refused(f"{file} cannot be written: {folder} is no folder in which you may write.", Exit.IO)


def _wire_of(ctx: click.Context) -> Wire:
    wire = ctx.meta.get(_META)
    if not isinstance(wire, Wire):
        session = ctx.find_object(Session)
        assert session is not None
        wire = ctx.meta[_META] = Wire(session, str(ctx.command_path))
        ctx.call_on_close(wire.close)
    return wire


class Wire:
    """The recorder of one command."""

    def __init__(self, session: Session, command: str) -> None:
        """@param command: for the title of the page."""
        self._session = session
        self._command = command
        self._recorder = session.wiretap = _recorder()

    def show_lines(self) -> None:
        """Print each event when it happens."""
        from emailsys.cli.watching.conversations import Heard
        from emailsys.cli.watching.plain_lines import PlainLines

        heard, lines, lock = Heard(), PlainLines(explain=True), Lock()

        def hear(line: bytes) -> None:
            # Whoever read the lines is gone. The connection goes on: the server may be taking a message.
            with lock, suppress(OSError):
                for text in lines.of(heard.take(json.loads(line))):
                    tell(text)

        self._session.shows_wire = True
        self._recorder.watch(hear, 0)

    def write(self, file: Path) -> None:
        """Write what was recorded. If that fails, tell it, and leave the exit status to the command.

        After a message was sent, another status would let a script send it again.
        """
        from emailsys.cli.exporting import write_page

        found = self._conversations()
        try:
            if str(file) == "-" or file.suffix.lower() == ".json":
                write_page(file, json.dumps([one.to_json() for one in found], indent=2) + "\n")
            else:
                write_page(file, _page(self._command, found))
        except Refused as refused:
            refused.show()
        except OSError as error:
            tell(f"emailsys: the conversation cannot be written: {error.strerror or error}")

    def _conversations(self) -> list[Conversation]:
        from emailsys.wiretap.conversation import Conversation

        kept = (self._recorder.conversation(str(one["id"])) for one in self._recorder.conversations(_CONVERSATIONS))
        return [Conversation.from_json(one) for one in kept if one is not None]

    def close(self) -> None:
        """End the recording: the next command of a shell begins without one."""
        self._session.wiretap = None
        self._session.shows_wire = False


def _recorder() -> Recorder:
    from emailsys.wiretap.recorder import Recorder
    from emailsys.wiretap.tap import Tap
    from emailsys.wiretap.tls.observer import TLSObserver

    lock = Lock()

    class ThreadedRecorder(Recorder):
        """A recorder for connections of several threads: each account is fetched in its own."""

        def begin(self, protocol: str, as_client: bool, session: str = "") -> Tap:
            with lock:
                return super().begin(protocol, as_client, session)

    return ThreadedRecorder(_CONVERSATIONS, _OCTETS, observe=TLSObserver)


def _page(command: str, found: Sequence[Conversation]) -> str:
    from emailsys.wiretap.export import Block, Dialogue, Prose, page_of

    blocks: list[Block] = [Dialogue(one) for one in found]
    if not blocks:
        blocks = [Prose("No connection", ("The command made no connection to a mail server.",))]
    return page_of(command, blocks, lead="Each line that went over the network, with its meaning. Secrets are masked.")
