"""Verbs that write messages: send, compose, reply and forward."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.arguments import account_option, key_argument, message_of, people
from emailsys.cli.mail.completions import complete_people, complete_templates
from emailsys.cli.mail.outgoing import queue_and_send, sending_options
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.mail.typed_text import keep_typed, read_text
from emailsys.cli.mail.verbs.sendmail import send_ready
from emailsys.cli.mail.verbs.templates import apply_template
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.archive.values import Flag, Summary
    from emailsys.client.compose.draft import Draft


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """The header fields and attachments that the options set."""

    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    sender: str | None
    reply_to: str | None
    subject: str | None
    attach: tuple[Path, ...]
    inline: tuple[str, ...]
    fields: tuple[str, ...]
    sign: bool | None
    encrypt: bool | None


def _mailboxes(*names: str, help: str) -> Callable[[Any], Any]:
    return click.option(*names, multiple=True, metavar="MAILBOX", help=help, shell_complete=complete_people)


def draft_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of a message, and pass it the MessageOptions as `words`."""

    def command(*arguments: Any, **options: Any) -> Any:
        words = MessageOptions(**{name: options.pop(name) for name in MessageOptions.__dataclass_fields__})
        return function(*arguments, words=words, **options)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    wrapped: Callable[..., Any] = command
    wrapped.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
    for option in (
        click.option(
            "--encrypt/--no-encrypt",
            default=None,
            help="Encrypt with OpenPGP. Default: as the account says.",
        ),
        click.option("--sign/--no-sign", default=None, help="Sign with OpenPGP. Default: as the account says."),
        click.option("--field", "fields", multiple=True, metavar="NAME:VALUE", help="Add a header field. Repeatable."),
        click.option(
            "--inline", multiple=True, metavar="ID=FILE", help='Add an image that the HTML shows as "cid:ID".'
        ),
        click.option(
            "-A", "--attach", multiple=True, type=click.Path(path_type=Path), help="Attach a file. Repeatable."
        ),
        click.option("-s", "--subject", help="Subject of the message."),
        click.option("--reply-to", metavar="MAILBOX", help="Address for replies."),
        click.option("--from", "sender", metavar="MAILBOX", help="Sender. Default: name and address of the account."),
        _mailboxes("-b", "--bcc", help="Recipients that the other recipients do not see."),
        _mailboxes("-c", "--cc", help="Recipients of a copy."),
        _mailboxes("-T", "--to", help="Recipients, separated by commas."),
    ):
        wrapped = option(wrapped)
    return wrapped


def apply(words: MessageOptions, draft: Draft) -> None:
    """Apply the options to a draft."""
    from emailsys.client.accounts.values import Encrypt
    from emailsys.client.compose.attachments import attach

    draft.to += people("--to", words.to)
    draft.cc += people("--cc", words.cc)
    draft.bcc += people("--bcc", words.bcc)
    if words.sender is not None:
        draft.sender = next(iter(people("--from", (words.sender,))), None)
    if words.reply_to is not None:
        draft.reply_to = people("--reply-to", (words.reply_to,))
    if words.subject is not None:
        draft.subject = words.subject
    if words.sign is not None:
        draft.sign = words.sign
    if words.encrypt is not None:
        draft.encrypt = Encrypt.ALWAYS if words.encrypt else Encrypt.NEVER
    draft.attachments += [attach(path) for path in words.attach]
    for pair in words.inline:
        content_id, equals, file = pair.partition("=")
        if not equals:
            raise Refused(f"--inline {pair!r}: write ID=FILE", Exit.USAGE)
        draft.attachments.append(attach(Path(file), content_id))
    for field in words.fields:
        name, colon, value = field.partition(":")
        if not colon:
            raise Refused(f"--field {field!r}: write 'NAME: VALUE'", Exit.USAGE)
        draft.fields.append((name.strip(), value.strip()))


def account_of(session: Session, account: str | None, words: MessageOptions) -> Account:
    """Return the account of --account, or else the one with the address of --from, or else the default account.

    The address may be an alias of the account.
    """
    if account is None and words.sender is not None:
        for sender in people("--from", (words.sender,)):
            if owner := session.mailbox.account_with(sender.address):
                return session.mailbox.account(owner.name)
    return session.mailbox.account(account)


def send_draft(session: Session, account: Account, draft: Draft, *, key: str | None = None, **send_options: Any) -> int:
    """Print the warnings of a draft, then send it. On a terminal, ask first if there are warnings.

    @param key: the saved draft; None if it is not saved.
    """
    from emailsys.cli.mail.protected_sending import build_asking
    from emailsys.client.compose.warnings import warnings

    found = warnings(draft)
    for one in found:
        tell(f"Warning: {one}")
    if found and sys.stdin.isatty() and not click.confirm("Send anyway?", err=True):
        if key is None:
            key = session.mailbox.save_draft(account, draft)
            tell(f"Saved as the draft {key}. To continue: emailsys mail draft edit {key}")
        else:
            tell(f"The draft stays as it is. To continue: emailsys mail draft edit {key}")
        return Exit.FAILED
    return queue_and_send(session, account, build_asking(session.mailbox, account, draft), **send_options)


@click.command()
@click.argument("recipients", nargs=-1, shell_complete=complete_people)
@draft_options
@click.option("-m", "--body", metavar="TEXT", help="Text of the message. Default: read from standard input.")
@click.option("--markdown", "form", flag_value="markdown", help="The text is Markdown. Send it as text and HTML.")
@click.option("--html", "form", flag_value="html", help="The text is HTML. Add a plain text alternative.")
@click.option("--eml", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE",
              help="Send a finished message, without its Bcc field; - reads standard input.")  # fmt: skip
@click.option(
    "-t", "from_header", is_flag=True, help="Like sendmail: take recipients from To, Cc and Bcc of the input."
)
@click.option(
    "-i", "ignore_dots", is_flag=True, help="Like sendmail: a line with a single dot does not end the message."
)
@click.option("-f", "reverse_path", metavar="ADDRESS", help="Envelope sender, which gets the delivery failures.")
@click.option("--draft", "as_draft", is_flag=True, help="Save a draft; do not send.")
@account_option
@sending_options
@pass_session
def send(
    session: Session,
    recipients: tuple[str, ...],
    words: MessageOptions,
    body: str | None,
    form: str | None,
    eml: Path | None,
    from_header: bool,
    ignore_dots: bool,
    reverse_path: str | None,
    as_draft: bool,
    account: str | None,
    **send_options: Any,
) -> int:
    """Send a message. RECIPIENTS are addresses in addition to --to, or a mailto: link.

    \b
    echo "See you at eight." | emailsys mail send bob@example.org -s Tonight
    emailsys mail send --to bob@example.org -s Report -A report.pdf --markdown < report.md
    emailsys mail send --eml message.eml bob@example.org
    emailsys mail send -t -i < message.eml
    emailsys mail send bob@example.org -s Careful --body "Think." --hold 30
    emailsys mail send bob@example.org -s Secret --sign --encrypt < letter
    """
    owner = account_of(session, account, words)
    if from_header or eml is not None:
        if words.sign or words.encrypt:
            raise Refused("A finished message is sent as it is. --sign and --encrypt need its text.", Exit.USAGE)
        octets = _octets_of(eml) if eml is not None else sys.stdin.buffer.read()
        dots = not ignore_dots and eml is None
        addresses = [one.address for one in people("recipient", (*recipients, *words.to, *words.cc, *words.bcc))]
        named = from_header or not addresses
        in_clear = words.encrypt is False
        return send_ready(
            session, owner, octets, addresses, named, reverse_path, dots, in_clear=in_clear, **send_options
        )
    links = [one for one in recipients if one.lower().startswith("mailto:")]
    if links:
        draft = session.mailbox.letter(owner, links[0])
        body = draft.text if body is None and draft.text else body
    else:
        draft = session.mailbox.blank(owner)
    draft.to += people("recipient", tuple(one for one in recipients if one not in links))
    apply(words, draft)
    is_typed = body is None and sys.stdin.isatty()
    if body is None:
        body = read_text(session, owner, draft)
    draft.text, draft.html, draft.markdown = None, None, None
    setattr(draft, form or "text", body)
    if as_draft:
        return _keep(session, owner, draft, send_options["as_json"])
    return _send_typed(session, owner, draft, is_typed, lambda: None, send_options)


def _send_typed(
    session: Session,
    account: Account,
    draft: Draft,
    is_typed: bool,
    queued: Callable[[], None],
    send_options: dict[str, Any],
) -> int:
    """Send a draft. @param is_typed: the text was typed on the terminal; keep it if the message is not sent."""
    in_outbox = []

    def done() -> None:
        in_outbox.append(True)
        queued()

    try:
        return send_draft(session, account, draft, queued=done, **send_options)
    except BaseException:
        if is_typed and not in_outbox:
            keep_typed(session, account, draft)
        raise


def _octets_of(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def _keep(session: Session, account: Account, draft: Draft, as_json: bool) -> int:
    key = session.mailbox.save_draft(account, draft)
    if as_json:
        print_json({"key": key, "account": account.name, "folder": "Drafts"})
    else:
        click.echo(key)
    tell(f"Saved as a draft. To continue: emailsys mail draft edit {key}")
    return Exit.OK


@click.command()
@click.argument("recipients", nargs=-1, shell_complete=complete_people)
@draft_options
@click.option("--markdown", "form", flag_value="markdown", help="Write Markdown. Send it as text and HTML.")
@click.option("--html", "form", flag_value="html", help="Write HTML. Add a plain text alternative.")
@click.option("--template", metavar="NAME", help="Begin with a template.", shell_complete=complete_templates)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Fill in a template's field. Repeatable.")
@account_option
@sending_options
@pass_session
def compose(
    session: Session,
    recipients: tuple[str, ...],
    words: MessageOptions,
    form: str | None,
    template: str | None,
    settings: tuple[str, ...],
    account: str | None,
    **send_options: Any,
) -> int:
    """Write a message in $VISUAL or $EDITOR, then send it, save a draft, or delete it.

    The editor shows the header fields, an empty line, and the text. To attach a file, add a line "Attach: FILE". To
    sign and encrypt with OpenPGP, add a line "Protect: sign encrypt".

    \b
    emailsys mail compose
    emailsys mail compose bob@example.org -s Tonight --markdown
    emailsys mail compose 'mailto:bob@example.org?subject=Tonight'
    emailsys mail compose bob@example.org --template offer --set project=Bridge
    """
    from emailsys.cli.mail.editor_session import write

    owner = account_of(session, account, words)
    links = [one for one in recipients if one.lower().startswith("mailto:")]
    mailbox = session.mailbox
    draft = mailbox.letter(owner, links[0]) if links else mailbox.blank(owner)
    draft.to += people("recipient", tuple(one for one in recipients if one not in links))
    apply(words, draft)
    if form is not None:
        text, draft.text = draft.body, None
        setattr(draft, form, text)
    mailbox.sign(owner, draft)
    if template is not None:
        draft = apply_template(session, draft, template, settings)
    elif settings:
        raise Refused("--set fills in the fields of a --template.", Exit.USAGE)
    return write(session, owner, draft, **send_options)


def _answer_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("-m", "--body", metavar="TEXT", help="Text of the message. Default: open your editor."),
        click.option("--stdin", "from_stdin", is_flag=True, help="Read the text from standard input."),
    ):
        function = option(function)
    return function


@click.command()
@key_argument
@click.option("--all", "whom", flag_value="all", help="Reply to all other recipients as well.")
@click.option("--list", "whom", flag_value="list", help="Reply to the mailing list alone (List-Post).")
@_answer_options
@draft_options
@sending_options
@pass_session
def reply(session: Session, key: str, whom: str | None, **rest: Any) -> int:
    """Reply to a message in the same conversation, and quote its text.

    \b
    emailsys mail reply KEY
    emailsys mail reply KEY --all
    emailsys mail reply KEY --list
    emailsys mail reply KEY --sign --encrypt
    echo "Thanks, I'll be there." | emailsys mail reply KEY --stdin
    """
    from emailsys.client.archive.values import Flag

    summary = message_of(session, key)
    return _answer(session, summary, session.mailbox.reply(summary, whom or "sender", ask=True), Flag.ANSWERED, **rest)


@click.command()
@key_argument
@click.argument("recipients", nargs=-1, shell_complete=complete_people)
@click.option("--as-text", is_flag=True, help="Put the message's text below yours instead of attaching the message.")
@_answer_options
@draft_options
@sending_options
@pass_session
def forward(session: Session, key: str, recipients: tuple[str, ...], as_text: bool, **rest: Any) -> int:
    """Forward a message as an attachment, or with --as-text as text.

    \b
    emailsys mail forward KEY carol@example.org --body "For your files."
    emailsys mail forward KEY carol@example.org --as-text
    """
    from emailsys.client.archive.values import Flag

    summary = message_of(session, key)
    draft = session.mailbox.forward(summary, as_text, ask=True)
    draft.to += people("recipient", recipients)
    return _answer(session, summary, draft, Flag.FORWARDED, **rest)


def _answer(
    session: Session,
    summary: Summary,
    draft: Draft,
    flag: Flag,
    words: MessageOptions,
    body: str | None,
    from_stdin: bool,
    **send_options: Any,
) -> int:
    from emailsys.cli.mail.editor_session import write

    apply(words, draft)
    account = session.mailbox.account_for(summary)

    def handled() -> None:
        session.mailbox.mark_handled(summary.key, flag)

    is_typed = from_stdin and sys.stdin.isatty()
    if from_stdin:
        body = read_text(session, account, draft)
    if body is None:
        session.mailbox.sign(account, draft)
        return write(session, account, draft, queued=handled, **send_options)
    quote = draft.text or ""
    draft.text = f"{body.rstrip()}\n\n{quote.lstrip()}" if quote.strip() else f"{body.rstrip()}\n"
    return _send_typed(session, account, draft, is_typed, handled, send_options)
