"""Scripted failures: at which step of an SMTP or POP3 session the server refuses, hangs up or waits, and how often."""

from __future__ import annotations

import enum
import re
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from emailsys.mail.reply import Reply

# Seconds. A client gives up earlier.
_MAX_DELAY: Final = 600.0
_MAX_TIMES: Final = 1_000_000
# RFC 2449 §4: a reply has at most 512 octets.
_MAX_REFUSAL: Final = 400


class FailureSyntaxError(ValueError):
    """The text of a scripted failure is not understood. The message says what is allowed."""


class Stage(enum.Enum):
    """A step of an SMTP session, or of a POP3 session."""

    CONNECT = "connect"
    HELLO = "EHLO"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    #: The final dot, which ends a message.
    DOT = "dot"

    #: The greeting of POP3.
    POP3 = "POP3"
    #: A login by POP3, by PASS or AUTH.
    PASS = "PASS"  # noqa: S105 -- a command
    STAT = "STAT"
    LIST = "LIST"
    UIDL = "UIDL"
    RETR = "RETR"
    TOP = "TOP"
    DELE = "DELE"
    QUIT = "QUIT"

    @property
    def is_pop3(self) -> bool:
        """Whether it is a step of POP3."""
        return self in _POP3_STAGES


_POP3_STAGES: Final = frozenset(
    {Stage.POP3, Stage.PASS, Stage.STAT, Stage.LIST, Stage.UIDL, Stage.RETR, Stage.TOP, Stage.DELE, Stage.QUIT}
)


class Cut(enum.Enum):
    """When the connection is dropped."""

    #: In place of the step: a message is not kept.
    AT = "at"
    #: After the step, in place of its reply: a message is kept, but its client is not told.
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Failure:
    """A scripted failure: its kind, its place, and how often it happens. `parse` reads it from a sentence.

    @ivar reply: the refusal of SMTP to send; None for none.
    @ivar refusal: the text of the -ERR of POP3 to send; None for none.
    @ivar cut: when to drop the connection; None for never.
    @ivar delay: seconds to wait before the step.
    @ivar recipient: only for this recipient: an address, "x@" for any domain, or "@example.com" for any name. For
        POP3, the user name.
    @ivar sender: only for this sender (MAIL FROM), in the same form.
    @ivar times: how many times it applies; 0 for every time.
    """

    stage: Stage
    reply: Reply | None = None
    cut: Cut | None = None
    delay: float = 0.0
    recipient: str = ""
    sender: str = ""
    times: int = 0
    refusal: str | None = None

    def applies(self, stage: Stage, sender: str, recipients: Iterable[str]) -> bool:
        """Whether it applies to a step with this sender and these recipients."""
        return (
            stage is self.stage
            and (not self.sender or _fits(self.sender, sender))
            and (not self.recipient or any(_fits(self.recipient, one) for one in recipients))
        )

    def __str__(self) -> str:
        """The sentence that `parse` reads."""
        often = {0: "", 1: "the first "}.get(self.times, f"the first {self.times} ")
        if self.reply is not None:
            # A default text needs no mention.
            enhanced = f" {self.reply.enhanced}" if self.reply.enhanced else ""
            what = f'{self.reply.code}{enhanced} "{self.reply.text}" at'
        elif self.refusal is not None:
            what = f'-ERR "{self.refusal}" at'
        elif self.cut is not None:
            what = f"drop {self.cut.value}"
        else:
            what = f"slow by {self.delay:g} s at"
        to = f" for {self.recipient}" if self.recipient else ""
        by = f" from {self.sender}" if self.sender else ""
        return f"{what} {often}{self.stage.value}{to}{by}"


def _fits(pattern: str, address: str) -> bool:
    pattern, address = pattern.lower(), address.lower()
    if pattern.endswith("@"):
        return address.rpartition("@")[0] == pattern[:-1]
    return address.endswith(pattern) if pattern.startswith("@") else address == pattern


_STAGES: Final = {
    "connect": Stage.CONNECT,
    "connection": Stage.CONNECT,
    "greeting": Stage.CONNECT,
    "ehlo": Stage.HELLO,
    "helo": Stage.HELLO,
    "hello": Stage.HELLO,
    "auth": Stage.AUTH,
    "login": Stage.AUTH,
    "mail": Stage.MAIL,
    "rcpt": Stage.RCPT,
    "data": Stage.DATA,
    "dot": Stage.DOT,
    "message": Stage.DOT,
    **{stage.value.lower(): stage for stage in _POP3_STAGES},
}
_WHERE: Final = (
    r"(?:(?:the |each |every )?(?:(?P<first>first)(?: (?P<times>\d{1,6}))? )?(?P<stage>[a-z]+3?))"
    r"(?: (?:for|to) (?P<recipient>\S+))?(?: from (?P<sender>\S+))?"
)
_REPLY: Final = re.compile(
    rf'(?P<code>\d{{3}})(?: (?P<enhanced>[45]\.\d{{1,3}}\.\d{{1,3}}))?(?: "(?P<text>[^"]*)")? at {_WHERE}', re.I | re.A
)
_ERR: Final = re.compile(rf'(?P<err>-ERR)(?: "(?P<text>[^"]*)")? at {_WHERE}', re.I | re.A)
_DROP: Final = re.compile(rf"drop (?P<cut>at|after|before) {_WHERE}", re.I | re.A)
_SLOW: Final = re.compile(
    rf"slow by (?P<delay>\d{{1,4}}(?:\.\d{{1,3}})?) ?(?:s|seconds?)?(?: at {_WHERE})?", re.I | re.A
)
_HELP: Final = (
    'Examples: "451 at the first RCPT for x@", "550 5.7.1 \\"not today\\" at MAIL from shop@example.com", '
    '"535 at AUTH", "421 at connect", "drop at DATA", "drop after the dot", "slow by 2 s", "slow by 1.5 s at the '
    'first 3 RCPT", "-ERR at the first PASS", "drop at RETR for bob@". Steps of SMTP: connect, EHLO, AUTH, MAIL, RCPT, '
    "DATA, dot; of POP3: POP3 (its greeting), PASS (any login), STAT, LIST, UIDL, RETR, TOP, DELE, QUIT."
)


def parse(text: str) -> Failure:
    """Read a failure from a sentence.

    "slow by 2 s" without a step waits once for each message, at its dot.

    @raise FailureSyntaxError: the sentence is not understood.
    """
    sentence = " ".join(text.split())
    found = (
        _REPLY.fullmatch(sentence) or _ERR.fullmatch(sentence) or _DROP.fullmatch(sentence) or _SLOW.fullmatch(sentence)
    )
    if found is None:
        raise FailureSyntaxError(f"a failure that is not understood: {text[:200]!r}. {_HELP}")
    given = found.groupdict()
    word = (given["stage"] or "dot").lower()
    stage = _STAGES.get(word)
    if stage is None:
        raise FailureSyntaxError(f"{word!r} is no step of a session, in {text[:200]!r}. {_HELP}")
    times = int(given["times"] or 1) if given["first"] else 0
    failure = Failure(
        stage, recipient=given["recipient"] or "", sender=given["sender"] or "", times=min(times, _MAX_TIMES)
    )
    _check(failure, text)
    if failure.stage.is_pop3 and "code" in given:
        raise FailureSyntaxError(f"POP3 has no codes: write -ERR in place of {given['code']}, in {text[:200]!r}")
    if "err" in given:
        if not failure.stage.is_pop3:
            raise FailureSyntaxError(f"-ERR is a reply of POP3, and {word} a step of SMTP, in {text[:200]!r}")
        return replace(failure, refusal=_refusal(given["text"]))
    if "code" in given:
        return replace(failure, reply=_reply(int(given["code"]), given["enhanced"], given["text"]))
    if "cut" in given:
        return replace(failure, cut=Cut.AFTER if given["cut"].lower() == "after" else Cut.AT)
    return replace(failure, delay=min(float(given["delay"]), _MAX_DELAY))


def _check(failure: Failure, text: str) -> None:
    """Refuse a condition that can never be met at its step."""
    knows_user = failure.stage.is_pop3 and failure.stage is not Stage.POP3
    if failure.recipient and not knows_user and failure.stage not in (Stage.RCPT, Stage.DATA, Stage.DOT):
        raise FailureSyntaxError(f"no recipient is known yet at {failure.stage.value}: {text[:200]!r}")
    if failure.sender and (failure.stage.is_pop3 or failure.stage in (Stage.CONNECT, Stage.HELLO, Stage.AUTH)):
        raise FailureSyntaxError(f"no sender is known yet at {failure.stage.value}: {text[:200]!r}")
    for pattern in filter(None, (failure.recipient, failure.sender)):
        if "@" not in pattern:
            raise FailureSyntaxError(
                f"{pattern!r} is no address; write an address, {pattern}@ for any domain, or @{pattern} for any name"
            )


def _refusal(text: str | None) -> str:
    if text is None:
        return "scripted failure"
    if not (text.isascii() and text.isprintable()) or len(text) > _MAX_REFUSAL:
        raise FailureSyntaxError(
            f"the text of -ERR has at most {_MAX_REFUSAL} printable letters of ASCII: {text[:80]!r}"
        )
    return text


def _reply(code: int, enhanced: str | None, text: str | None) -> Reply:
    if not 400 <= code <= 599:
        raise FailureSyntaxError(f"{code} is no refusal: use a code from 400 to 599")
    if enhanced is not None and int(enhanced[0]) != code // 100:
        raise FailureSyntaxError(f"the enhanced code {enhanced} does not belong to {code} (RFC 3463)")
    return Reply(code, enhanced or f"{code // 100}.0.0", text or "scripted failure")


@dataclass(slots=True)
class _Entry:
    failure: Failure
    left: int


@dataclass(slots=True)
class FailureScript:
    """The failures of one server. Tests change it in their thread while sessions ask it in the reactor's."""

    _entries: list[_Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: What happened, one line for each failure that was applied, for error messages.
    history: list[str] = field(default_factory=list)

    def add(self, failure: Failure | str) -> Failure:
        """Add a failure, or the sentence of one.

        @raise FailureSyntaxError: the sentence is not understood.
        """
        made = parse(failure) if isinstance(failure, str) else failure
        with self._lock:
            self._entries.append(_Entry(made, made.times))
        return made

    def remove(self, failure: Failure) -> None:
        """Remove a failure. Does nothing if it cannot happen any more."""
        with self._lock:
            self._entries = [entry for entry in self._entries if entry.failure is not failure]

    def clear(self) -> None:
        """Remove all failures, and forget which were applied."""
        with self._lock:
            self._entries.clear()
            self.history.clear()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The failures that can still happen."""
        with self._lock:
            return tuple(entry.failure for entry in self._entries)

    def take(self, stage: Stage, sender: str = "", recipients: Collection[str] = ()) -> Failure | None:
        """Return what happens at a step, and count it; None if nothing does.

        All delays that apply are added up. The first refusal or drop that applies is the one that happens.
        """
        if not self._entries:
            return None
        result: Failure | None = None
        with self._lock:
            for entry in list(self._entries):
                one = entry.failure
                if not one.applies(stage, sender, recipients) or (result and _ends(result) and _ends(one)):
                    continue
                if result is None:
                    result = one
                else:
                    ending = one if _ends(one) else result
                    result = replace(ending, delay=result.delay + one.delay)
                self.history.append(f"{one}{_whom(recipients)}")
                if entry.failure.times:
                    entry.left -= 1
                    if not entry.left:
                        self._entries.remove(entry)
        return result


def _ends(failure: Failure) -> bool:
    return failure.reply is not None or failure.refusal is not None or failure.cut is not None


def _whom(recipients: Collection[str]) -> str:
    return f" ({', '.join(list(recipients)[:5])})" if recipients else ""
