"""Composing in a browser: new messages, answers and forwarded messages, with files; what is sent is submitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as Late

from emailsys.client.compose.answer import ReplyTo, forward, reply
from emailsys.client.compose.attachments import type_of
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.message_builder import OutgoingMessage, build
from emailsys.client.text.file_names import safe_name
from emailsys.interfaces import Account, StoreError
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes
from emailsys.web.base.face import Answer, Call, Face, see_other
from emailsys.web.base.forms import Form
from emailsys.web.base.login import client_of
from emailsys.web.base.refusal import LoginNeeded, Refusal
from emailsys.web.base.sent_once import KeyReused, SentOnce
from emailsys.web.base.submission import Sent, Submission, SubmissionRefused
from emailsys.web.mail.messages import Messages

_MAX_TEXT: Final = 2_000_000
_MAX_FILES: Final = 100
# Random octets of the key of a message, and characters of a key that a form sends.
_KEY_OCTETS: Final = 16
_MAX_KEY: Final = 100
# Seconds after which the page says that sending takes long. The message is still taken.
_SEND_SECONDS: Final = 240.0
_LATE: Final = "This takes long. Choose Send again in a moment to see the outcome: the message is not sent twice."
_KINDS: Final = {"reply": ReplyTo.SENDER, "all": ReplyTo.ALL}


class Composing:
    """The page, and what it sends."""

    def __init__(self, face: Face, messages: Messages, submission: Submission, once: SentOnce) -> None:
        self._face = face
        self._messages = messages
        self._submission = submission
        self._once = once
        face.route("/mail/<int:number>/compose", self.page)
        face.route("/mail/<int:number>/compose", self.send, ("POST",), seconds=_SEND_SECONDS + 60)

    async def page(self, call: Call, number: int) -> Answer:
        """Show an empty message, or one that answers or forwards another."""
        sender = Mailbox("", call.account(number).account.address)
        kind, uid = call.first("kind"), call.first("uid")
        draft = Draft(sender=sender, text="")
        if kind in _KINDS or kind == "forward":
            opened = await self._messages.open(call, number, uid)
            draft = await self._face.in_thread(_answer, opened.octets, sender, kind)
        elif call.first("to"):
            draft.as_typed = [("To", call.first("to")[:1000])]
        values = {name: draft.typed(name) for name in ("To", "Cc", "Bcc")}
        return self._form(call, number, values, draft.subject, draft.text or "", kind, uid, draft.attachments)

    def _form(
        self,
        call: Call,
        number: int,
        people: dict[str, str],
        subject: str,
        text: str,
        kind: str,
        uid: str,
        attached: list[Attachment],
        error: str = "",
        is_rich: bool = False,
    ) -> Answer:
        account = call.account(number).account
        if error and call.form.files.get("files"):
            # No page can fill in files.
            error += " Attach your files again."
        return call.page(
            "mail/compose.html",
            400 if error else 200,
            title=subject or "New message",
            number=number,
            account=account,
            people=people,
            subject=subject,
            text=text,
            kind=kind if kind in _KINDS or kind == "forward" else "",
            uid=uid,
            attached=attached,
            error=error,
            is_rich=is_rich,
            # Of one message, however often its form is shown.
            key=call.form.get("key") or token_urlsafe(_KEY_OCTETS),
            with_files=call.form.get("with_files", "1") == "1",
            most=self._face.settings.smtp.max_message_size,
        )

    async def send(self, call: Call, number: int) -> Answer:
        """Send the message, to all recipients or to none."""
        form = call.form
        try:
            login = call.account(number)
        except LoginNeeded:
            how = "Nothing was sent. Log in again."
            raise Refusal(403, "Your login has ended", how, form.typed) from None
        kind, uid = form.get("kind"), form.get("uid")
        people = {name: form.get(name.lower())[:100_000] for name in ("To", "Cc", "Bcc")}
        subject, text = form.get("subject"), form.get("text")
        is_rich = form.get("rich") == "1"
        kept: list[Attachment] = []

        async def submit(key: str) -> Sent:
            draft = _draft(login.account, people, subject, text, is_rich)
            if kind in _KINDS or kind == "forward":
                opened = await self._messages.open(call, number, uid)
                source: Draft = await self._face.in_thread(_answer, opened.octets, draft.sender, kind)
                draft.in_reply_to, draft.references = source.in_reply_to, source.references
                kept[:] = source.attachments
            uploads = form.files.get("files", ())
            if len(uploads) > _MAX_FILES:
                raise ComposeError("There are too many files.")
            draft.attachments = [
                *(kept if form.get("with_files", "1") == "1" else ()),
                *(_file(one.name, one.octets) for one in uploads),
            ]
            message: OutgoingMessage = await self._face.in_thread(build, draft, datetime.now(UTC))
            client = replace(sender, sent_key=key)
            if message.smtputf8:
                client = replace(client, protocol=f"UTF8{client.protocol}")
            return await self._submission.submit(
                login.delivery, client, message.reverse_path, message.recipients, message.octets
            )

        # Asked now: a connection that ends meanwhile tells nothing any more.
        sender = client_of(call, login)
        try:
            content = await self._face.in_thread(_content, form)
            sending: Deferred[Sent] = Deferred.fromCoroutine(
                self._once.send(login.account.address, form.get("key")[:_MAX_KEY], content, submit)
            )
            await sending.addTimeout(_SEND_SECONDS, self._face.reactor)
        except Late:
            return self._form(call, number, people, subject, text, kind, uid, kept, _LATE, is_rich)
        except KeyReused:
            how = "It was sent as it was before you changed it. To send this one, too, copy it into a new message."
            raise Refusal(409, "This message was sent already", how, form.typed) from None
        except ComposeError as error:
            return self._form(call, number, people, subject, text, kind, uid, kept, str(error), is_rich)
        except SubmissionRefused as error:
            return self._form(call, number, people, subject, text, kind, uid, kept, _words(error), is_rich)
        except StoreError:
            busy = "Nothing was sent: the mail store does not answer. Try again in a moment."
            return self._form(call, number, people, subject, text, kind, uid, kept, busy, is_rich)
        except Refusal:
            # Raised while the message that is answered is read.
            gone = "The message that you answer was deleted. Copy your text into a new message."
            return self._form(call, number, people, subject, text, "", "", kept, gone, is_rich)
        return see_other(f"/mail/{number}/?sent=1")


def _answer(octets: bytes, sender: Mailbox, kind: str) -> Draft:
    if kind == "forward":
        return forward(octets, sender, inline=True)
    return reply(octets, sender, reply_to=_KINDS[kind])


def _draft(account: Account, people: dict[str, str], subject: str, text: str, is_rich: bool) -> Draft:
    if len(text) > _MAX_TEXT:
        raise ComposeError("The text is too long.")
    draft = Draft(sender=Mailbox("", account.address), subject=" ".join(subject.split()))
    for name, typed in people.items():
        try:
            setattr(draft, name.lower(), parse_mailboxes(typed) if typed.strip() else [])
        except ValueError as error:
            raise ComposeError(f"{name}: {error}") from None
    plain = text.replace("\r\n", "\n")
    if is_rich:
        draft.markdown = plain
    else:
        draft.text = plain
    return draft


def _content(form: Form) -> bytes:
    """Return a digest of what a form sends."""
    digest = sha256()
    for name, values in sorted(form.fields.items()):
        if name != "csrf":
            digest.update(repr((name, list(values))).encode("utf-8", "replace"))
    for upload in form.files.get("files", ()):
        digest.update(repr(upload.name).encode("utf-8", "replace") + sha256(upload.octets).digest())
    return digest.digest()


def _file(name: str, octets: bytes) -> Attachment:
    safe = safe_name(name)
    return Attachment(safe, octets, type_of(safe, octets))


def _words(error: SubmissionRefused) -> str:
    """Return why a message was refused, for its author."""
    lines = [f"{about}: {reply.text}" if about else reply.text for about, reply in error.refusals[:20]]
    return f"Nothing was sent. {'; '.join(lines)}."
