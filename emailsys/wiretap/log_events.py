"""Events of the mail log as events of a conversation: which of them are decisions, logins or commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from emailsys.wiretap.conversation import Json, Kind

# Fields that say nothing new beside the conversation, and the name of a refused login: it may be a password that was
# typed in the wrong place.
_LEFT_OUT: Final = frozenset({"session", "ip", "service", "user"})
_MAX_FIELD: Final = 200


class Fact(NamedTuple):
    """The meaning of an event of the mail log for its conversation."""

    kind: Kind
    text: str


_FACTS: Final[Mapping[str, Fact]] = {
    "refused": Fact(Kind.VERDICT, "refused"),
    "smtp-dropped": Fact(Kind.VERDICT, "connection ended by this host"),
    "smtp-early-talker": Fact(Kind.VERDICT, "the client talked before the greeting"),
    "smtp-timed-out": Fact(Kind.VERDICT, "silent for too long"),
    "smtp-too-slow": Fact(Kind.VERDICT, "the message takes too long"),
    "smtp-store-failed": Fact(Kind.VERDICT, "the store failed"),
    "smtp-plaintext-dropped": Fact(Kind.VERDICT, "commands in the clear before TLS were discarded"),
    "smtp-login": Fact(Kind.LOGIN, "logged in"),
    "smtp-login-refused": Fact(Kind.LOGIN, "login refused"),
    "smtp-login-delayed": Fact(Kind.LOGIN, "login not checked now"),
    "password-changed": Fact(Kind.COMMIT, "password changed"),
    "pop3-login": Fact(Kind.LOGIN, "logged in"),
    "pop3-login-refused": Fact(Kind.LOGIN, "login refused"),
    "pop3-login-busy": Fact(Kind.LOGIN, "login not checked now"),
    "pop3-in-use": Fact(Kind.LOGIN, "another session has the maildrop open"),
    "pop3-plaintext-dropped": Fact(Kind.VERDICT, "commands in the clear before TLS were discarded"),
    "pop3-closed": Fact(Kind.VERDICT, "connection ended by this host"),
    "pop3-removed": Fact(Kind.COMMIT, "messages removed"),
    "pop3-taken-over": Fact(Kind.VERDICT, "another login took the maildrop over"),
    "pop3-damaged": Fact(Kind.VERDICT, "the message is damaged"),
    "pop3-store-failed": Fact(Kind.VERDICT, "the store failed"),
    "pop3-cut-short": Fact(Kind.VERDICT, "the message could not be sent to its end"),
}


def fact_of(name: str, fields: Mapping[str, object]) -> tuple[Fact, dict[str, Json]] | None:
    """Return what an event of the mail log means for its conversation, with details; None for nothing new."""
    fact = _FACTS.get(name)
    if fact is None:
        return None
    details: dict[str, Json] = {}
    for key, value in fields.items():
        if key in _LEFT_OUT or value is None:
            continue
        details[key] = value if isinstance(value, bool | int | float) else shown_field(str(value))
    if fact.kind is Kind.LOGIN:
        details["succeeded"] = fact.text == "logged in"
        if fact.text == "logged in" and "user" in fields:
            details["account"] = shown_field(str(fields["user"]))
    return fact, details


def shown_field(value: str) -> str:
    """Return a value without control characters, cut to a length for one line."""
    if not value.isprintable():
        value = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in value
        )
    return value if len(value) <= _MAX_FIELD else f"{value[:_MAX_FIELD]}..."
