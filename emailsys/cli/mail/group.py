"""Command group `emailsys mail`: verbs that are imported on demand, and the full screen if no verb is given."""

from __future__ import annotations

import gc
import sys
from typing import Any, Final

import click

from emailsys.cli.main import CONTEXT, LazyGroup
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

# Allocations between two garbage collections. Nearly all objects that a verb imports live until it ends: with Python's
# default of 700, collections take a tenth of the start and of a fetch.
_BETWEEN_COLLECTIONS: Final = 20_000

_ROOM: Final = "emailsys.cli.mail"

_EPILOG: Final = """\b
To begin, add an account:
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
    """The command group. Errors of the mail client become one line and an exit status of sysexits.h."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb, and translate the errors of the mail client."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            refused = refused_by(error)
            if refused is None:
                raise
            raise refused from None


def refused_by(error: Exception) -> Refused | None:
    """Translate an error of the mail client for a command. Returns None for an unexpected exception."""
    if "emailsys.client" not in sys.modules:
        return None
    from emailsys.client.accounts.values import AccountError
    from emailsys.client.archive.values import ArchiveError, ArchiveFull, BadQuery, NoSuchFolder, NoSuchMessage
    from emailsys.client.compose.draft import ComposeError
    from emailsys.client.fetch.values import FetchError
    from emailsys.client.opening.values import OpeningError

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
        case OpeningError():
            return Refused(str(error), Exit.FAILED)
        case FetchError():
            from emailsys.client.display.problem_text import problem_text

            return Refused(
                problem_text(str(error), error.advice), Exit.TEMPORARY if error.transient else Exit.UNAVAILABLE
            )
    return None


@click.group(
    "mail",
    cls=MailGroup,
    invoke_without_command=True,
    lazy={
        "account": (f"{_ROOM}.verbs.accounts:account", "Add, list, show, test and remove mail accounts."),
        "fetch": (
            f"{_ROOM}.verbs.fetch:fetch",
            "Fetch new mail from all accounts, or from some; with --watch, repeatedly.",
        ),
        "waiting": (f"{_ROOM}.verbs.fetch:waiting", "List the messages on the server without fetching them."),
        "list": (f"{_ROOM}.verbs.lists:list_", "List the messages of a folder."),
        "search": (
            f"{_ROOM}.verbs.lists:search",
            "Search messages: words, from:, subject:, has:attachment, before: ...",
        ),
        "saved": (f"{_ROOM}.verbs.saved:saved", "List, add, rename and remove saved searches."),
        "template": (f"{_ROOM}.verbs.templates:template", "List, show, write and remove templates of messages."),
        "thread": (f"{_ROOM}.verbs.lists:thread", "List the conversation that a message belongs to."),
        "show": (f"{_ROOM}.verbs.views:show", "Show a message as text."),
        "structure": (f"{_ROOM}.verbs.structure:structure", "Show the MIME parts of a message, and its defects."),
        "headers": (f"{_ROOM}.verbs.views:headers", "Show all header fields of a message."),
        "raw": (f"{_ROOM}.verbs.views:raw", "Print a message exactly as it was received."),
        "attachments": (f"{_ROOM}.verbs.views:attachments", "List the attachments of a message."),
        "save": (f"{_ROOM}.verbs.views:save", "Save attachments into a folder."),
        "open": (f"{_ROOM}.verbs.opening:open_", "Open the HTML, a link or an attachment of a message."),
        "pipe": (f"{_ROOM}.verbs.opening:pipe", "Give a message or a part to a command."),
        "print": (f"{_ROOM}.verbs.opening:print_", "Print a message."),
        "send": (f"{_ROOM}.verbs.composition:send", "Send a message from options and standard input."),
        "compose": (
            f"{_ROOM}.verbs.composition:compose",
            "Write a message in your editor, then send it or save a draft.",
        ),
        "reply": (f"{_ROOM}.verbs.composition:reply", "Reply to a message."),
        "forward": (f"{_ROOM}.verbs.composition:forward", "Forward a message."),
        "bounce": (f"{_ROOM}.verbs.bounce:bounce", "Send a message on to others, unchanged."),
        "unsubscribe": (
            f"{_ROOM}.verbs.unsubscribe:unsubscribe",
            "Leave the mailing list that a message came through.",
        ),
        "invite": (f"{_ROOM}.verbs.invitations:invite", "Answer an invitation: accept, tentative or decline."),
        "draft": (f"{_ROOM}.verbs.drafts:draft", "List, edit and send drafts."),
        "outbox": (f"{_ROOM}.verbs.outbox:outbox", "List, stop and send messages that wait in the outbox."),
        "sendmail": (
            f"{_ROOM}.verbs.sendmail:sendmail",
            "Send a finished message from standard input, like /usr/sbin/sendmail.",
        ),
        "flag": (f"{_ROOM}.verbs.marks:flag", "Mark messages as read, unread, flagged, answered ..."),
        "tag": (f"{_ROOM}.verbs.marks:tag", "Add, remove and list tags."),
        "move": (f"{_ROOM}.verbs.marks:move", "Move messages to another folder."),
        "snooze": (f"{_ROOM}.verbs.snooze:snooze", "Put messages out of sight until a moment."),
        "spam": (f"{_ROOM}.verbs.spam:spam", "Move messages to Spam, and later ones of their senders."),
        "delete": (f"{_ROOM}.verbs.marks:delete", "Move messages to Trash, or delete those in Trash for good."),
        "undelete": (f"{_ROOM}.verbs.marks:undelete", "Restore messages from Trash."),
        "folder": (f"{_ROOM}.verbs.folders:folder", "List, add, rename and remove folders; empty Trash."),
        "rules": (f"{_ROOM}.verbs.rules:rules", "List, test and apply the rules that file and mark new mail."),
        "contact": (f"{_ROOM}.verbs.contacts:contact", "Keep people and groups, with short names; vCard files."),
        "import": (f"{_ROOM}.verbs.import_export:import_", "Import messages from maildirs, mbox files and .eml files."),
        "export": (f"{_ROOM}.verbs.import_export:export", "Export messages as a maildir, an mbox file or .eml files."),
        "reindex": (f"{_ROOM}.verbs.import_export:reindex", "Rebuild the index from the message files."),
        "shell": (f"{_ROOM}.verbs.shell:shell", "Open a line-by-line shell, for slow terminals and screen readers."),
    },
    context_settings=CONTEXT,
    epilog=_EPILOG,
)
@click.option("--theme", type=click.Choice(["dark", "light"]), help="Colours of the full screen. F3 switches them.")
@click.option(
    "--hold",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="In the full screen, wait this long before each message is sent; z stops it.",
)
@click.pass_context
def mail(ctx: click.Context, theme: str | None, hold: float) -> Any:
    """Read and write mail. Without a verb, open the full screen.

    Each message is kept in one .eml file, exactly as it was received. Verbs print data to standard output and messages
    to standard error. Every verb except raw and shell accepts --json. KEY names a message; its beginning is enough.
    """
    gc.set_threshold(_BETWEEN_COLLECTIONS, 20)
    from emailsys.cli.mail.session import Session

    if ctx.find_object(Session) is None:
        ctx.obj = Session()
        ctx.call_on_close(ctx.obj.close)
    if ctx.invoked_subcommand is None:
        # The screen is drawn on standard error.
        if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
            raise Refused(
                "The full screen needs a terminal. In scripts, use a verb; to list the verbs: emailsys mail --help",
                Exit.USAGE,
            )
        from emailsys.cli.mail.screen import open_screen

        return open_screen(ctx.obj, theme, hold)
    return None
