"""Policy delegation protocol of Postfix, without I/O: a request to a policy server, and its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

#: Octets of an answer. Postfix takes at most as many in a line.
MAX_ANSWER: Final = 8192
_ATTRIBUTE: Final = re.compile(rb"([A-Za-z0-9_.\-]+)=([^\x00-\x08\x0a-\x1f\x7f]*)")
_REPLY: Final = re.compile(r"([45][0-9]{2})(?:[ \t]+([45]\.[0-9]{1,3}\.[0-9]{1,3}))?(?:[ \t]+(.*))?", re.ASCII)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class PolicyAnswerError(ValueError):
    """The answer of a policy server breaks the protocol."""


class Action(NamedTuple):
    """The answer of a policy server: a word in capitals, and the text after it."""

    name: str
    argument: str


class ReplyAction(NamedTuple):
    """An action that is a reply: its code, its enhanced status code or "", and its text."""

    code: int
    enhanced: str
    text: str


def request(attributes: Mapping[str, str]) -> bytes:
    """Return a request. Control characters of a value, which a client may have chosen, become question marks."""
    lines = ["request=smtpd_access_policy\n"]
    lines += [f"{name}={_CONTROLS.sub('?', value)}\n" for name, value in attributes.items()]
    return "".join((*lines, "\n")).encode("utf-8", "replace")


def answer(octets: bytes) -> Action | None:
    """Read the answer in the octets that have arrived; None as long as it is not complete.

    @raise PolicyAnswerError: the octets are no answer: too long, without an action, with control octets, or with more
        behind it.
    """
    end = octets.find(b"\n\n")
    if end < 0:
        if len(octets) > MAX_ANSWER or octets.startswith(b"\n"):
            raise PolicyAnswerError("it is too long" if octets.strip() else "it begins with an empty line")
        return None
    if len(octets) > end + 2:
        raise PolicyAnswerError("it has more than one answer")
    action = None
    for line in octets[:end].split(b"\n"):
        found = _ATTRIBUTE.fullmatch(line)
        if found is None:
            raise PolicyAnswerError(f"the line {line[:80]!r} is no attribute")
        if found[1] == b"action":
            if action is not None:
                raise PolicyAnswerError("it has two actions")
            action = found[2].decode("utf-8", "backslashreplace").strip()
    if not action:
        raise PolicyAnswerError("it has no action")
    # access(5): blanks or tabs.
    name, *argument = action.split(None, 1)
    return Action(name.upper(), _CONTROLS.sub("?", "".join(argument).replace("\t", " ")))


def reply_action(action: Action) -> ReplyAction | None:
    """Return the reply that an action consists of, such as "450 4.2.0 come back"; None if it is another action."""
    found = _REPLY.fullmatch(f"{action.name} {action.argument}".strip())
    if found is None:
        return None
    enhanced = found[2] or ""
    if enhanced and enhanced[0] != found[1][0]:
        raise PolicyAnswerError(f"{enhanced} does not fit the code {found[1]}")
    return ReplyAction(int(found[1]), enhanced, found[3] or "")
