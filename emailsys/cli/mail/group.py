"""The command group `emailsys mail`: its verbs by name, imported when they are called; alone, the full screen."""

from __future__ import annotations

import gc
import sys
from typing import Any, Final

import click

from emailsys.cli.main import LazyGroup
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

# Objects made between two looks for garbage in cycles. Nearly all that a verb imports lives to its end: at the 700 that
# Python begins with, looking through it again and again takes a tenth of the start, and of a fetch.
_BETWEEN_COLLECTIONS: Final = 20_000

_ROOM: Final = "emailsys.cli.mail"

_EPILOG: Final = """\b
Begin with an account, then look around:
  emailsys mail account add alice@example.org
  emailsys mail fetch
  emailsys mail
\b
In scripts:
  echo "See you at eight." | emailsys mail send --to bob@example.org --subject Tonight
  emailsys mail send --to bob@example.org --subject Report --attach report.pdf --markdown < report.md
  emailsys mail search 'from:bob has:attachment newer:30d' --json | jq -r '.[].key'
  emailsys mail save KEY --to ~/Downloads
"""


class MailGroup(LazyGroup):
    """The group; what the rooms of the client refuse is told in one line, with a status of sysexits.h."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            refused = refused_by(error)
            if refused is None:
                raise
            raise refused from None


def refused_by(error: Exception) -> Refused | None:
    """What an error of the client means for a command; None for what nobody expected."""
    if "emailsys.client" not in sys.modules:
        return None
    from emailsys.client.accounts.values import AccountError
    from emailsys.client.archive.values import ArchiveError, ArchiveFull, BadQuery, NoSuchFolder, NoSuchMessage
    from emailsys.client.compose.draft import ComposeError
    from emailsys.client.fetch.values import FetchError

    match error:
        case NoSuchMessage() | NoSuchFolder():
            return Refused(str(error), Exit.NO_INPUT)
        case BadQuery():
            return Refused(str(error), Exit.USAGE)
        case ArchiveFull():
            return Refused(str(error), Exit.CANNOT_CREATE)
        case ArchiveError():
            return Refused(str(error), Exit.IO)
        case AccountError():
            return Refused(str(error), Exit.CONFIG)
        case ComposeError():
            return Refused(str(error), Exit.DATA)
        case FetchError():
            advice = f"; {error.advice}" if error.advice else ""
            return Refused(f"{error}{advice}", Exit.TEMPORARY if error.transient else Exit.UNAVAILABLE)
    return None


@click.group(
    "mail",
    cls=MailGroup,
    invoke_without_command=True,
    lazy={
        "account": (f"{_ROOM}.verbs.accounts:account", "Add, list, show, try and remove the accounts you fetch from."),
        "fetch": (
            f"{_ROOM}.verbs.fetch:fetch",
            "Fetch new mail of all accounts, or of some; again and again: --watch.",
        ),
        "waiting": (f"{_ROOM}.verbs.fetch:waiting", "Look at what is on the server, without fetching it."),
        "list": (f"{_ROOM}.verbs.lists:list_", "List the messages of a folder."),
        "search": (f"{_ROOM}.verbs.lists:search", "Find messages: words, from:, subject:, has:attachment, before: ..."),
        "thread": (f"{_ROOM}.verbs.lists:thread", "List the conversation that a message belongs to."),
        "show": (f"{_ROOM}.verbs.views:show", "Show a message as text."),
        "structure": (f"{_ROOM}.verbs.views:structure", "Show the parts a message is made of, and every defect."),
        "headers": (f"{_ROOM}.verbs.views:headers", "Show all header fields of a message."),
        "raw": (f"{_ROOM}.verbs.views:raw", "Print a message exactly as it came."),
        "attachments": (f"{_ROOM}.verbs.views:attachments", "List the attachments of a message."),
        "save": (f"{_ROOM}.verbs.views:save", "Save attachments into a folder."),
        "send": (f"{_ROOM}.verbs.composition:send", "Send a message made of options and standard input."),
        "compose": (f"{_ROOM}.verbs.composition:compose", "Write a message in your editor, then send or keep it."),
        "reply": (f"{_ROOM}.verbs.composition:reply", "Answer a message."),
        "forward": (f"{_ROOM}.verbs.composition:forward", "Pass a message on."),
        "draft": (f"{_ROOM}.verbs.drafts:draft", "List, save, go on with and send drafts."),
        "outbox": (f"{_ROOM}.verbs.outbox:outbox", "See what waits to be sent; stop it, or send it now."),
        "sendmail": (
            f"{_ROOM}.verbs.sendmail:sendmail",
            "Send a finished message from standard input, as /usr/sbin/sendmail.",
        ),
        "flag": (f"{_ROOM}.verbs.marks:flag", "Mark messages: read, unread, flagged, answered ..."),
        "tag": (f"{_ROOM}.verbs.marks:tag", "Add tags to messages, take them off, list them."),
        "move": (f"{_ROOM}.verbs.marks:move", "Move messages to another folder."),
        "delete": (f"{_ROOM}.verbs.marks:delete", "Move messages to Trash; what is in Trash goes for good."),
        "undelete": (f"{_ROOM}.verbs.marks:undelete", "Bring messages back out of Trash."),
        "folder": (f"{_ROOM}.verbs.folders:folder", "List, add, rename, remove folders; empty Trash."),
        "import": (f"{_ROOM}.verbs.import_export:import_", "Take in maildirs, mbox files and .eml files."),
        "export": (f"{_ROOM}.verbs.import_export:export", "Write messages out as a maildir, an mbox or .eml files."),
        "reindex": (f"{_ROOM}.verbs.import_export:reindex", "Make the index anew from the files."),
        "shell": (f"{_ROOM}.verbs.shell:shell", "A plain session line by line, for slow terminals and screen readers."),
    },
    epilog=_EPILOG,
)
@click.option("--theme", type=click.Choice(["dark", "light"]), help="Colours of the full screen; F3 changes them.")
@click.option(
    "--hold",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="In the full screen, hold each message so long before it is sent, so that it can be stopped.",
)
@click.pass_context
def mail(ctx: click.Context, theme: str | None, hold: float) -> Any:
    """Read and write mail. Alone, it opens the full screen; each verb works in scripts, too.

    Mail is kept in one .eml file a message, exactly as it came. Data goes to standard output, messages go to standard
    error; every verb but raw and shell takes --json. A message is named by its KEY, of which the beginning is enough.
    """
    gc.set_threshold(_BETWEEN_COLLECTIONS, 20)
    from emailsys.cli.mail.session import Session

    if ctx.find_object(Session) is None:
        ctx.obj = Session()
        ctx.call_on_close(ctx.obj.close)
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise Refused("the full screen needs a terminal; see: emailsys mail --help", Exit.USAGE)
        from emailsys.cli.mail.screen import open_screen

        return open_screen(ctx.obj, theme, hold)
    return None
