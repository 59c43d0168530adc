"""Problem details (RFC 9457): what an operation answers when it does not succeed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from emailsys.web.api.schema import Schema, count, record, several, text

PROBLEM_TYPE: Final = "application/problem+json"
# A problem type is a URI that need not lead anywhere (RFC 9457 §3.1.1).
_PREFIX: Final = "urn:emailsys:problem:"

#: The schema of every answer that is not a success.
PROBLEM: Final[Schema] = record(
    {
        "type": text(f"The kind of problem: {_PREFIX} and a word that programs may rely on."),
        "title": text("The kind of problem in words."),
        "status": count("The status of the answer.", 400, 599),
        "detail": text("What happened, to what.", 10_000),
        "help": text("What to do next.", 10_000),
        "errors": several(
            record(
                {
                    "pointer": text("Where in the body (RFC 6901), or the name of a parameter."),
                    "detail": text("What was found, and what is allowed.", 10_000),
                }
            ),
            "Each value that is not allowed.",
        ),
    },
    optional=("detail", "help", "errors"),
)


class Problem(Exception):
    """The request is answered with a problem.

    @param kind: the word for programs.
    @param help: what the caller can do.
    @param errors: the places in the request, and what is wrong there.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str = "",
        help: str = "",
        errors: Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(title)
        self.status, self.kind, self.title, self.detail, self.help = status, kind, title, detail, help
        self.errors, self.headers = errors, tuple(headers)

    def body(self) -> bytes:
        """Return the JSON document."""
        document: dict[str, object] = {"type": _PREFIX + self.kind, "title": self.title, "status": self.status}
        if self.detail:
            document["detail"] = self.detail
        if self.help:
            document["help"] = self.help
        if self.errors:
            document["errors"] = [{"pointer": where, "detail": what} for where, what in self.errors]
        return json.dumps(document, ensure_ascii=True).encode("ascii")


def not_found(what: str, help: str = "") -> Problem:
    """Return the problem of something that does not exist, or that this token may not know of."""
    return Problem(404, "not-found", "Not found", what, help)


def not_allowed(errors: Sequence[tuple[str, str]]) -> Problem:
    """Return the problem of values that are not allowed."""
    return Problem(
        422,
        "invalid",
        "The request has values that are not allowed",
        "; ".join(f"{where or '/'}: {what}" for where, what in errors[:3]),
        "Correct the values in `errors`. The document at /api/v1/openapi.json says what is allowed.",
        errors,
    )
