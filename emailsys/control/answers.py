"""Answers to requests of operators: JSON objects with a result, or with the kind of an error and its message."""

from __future__ import annotations

from typing import Any, Final

Answer = dict[str, Any]

# Kinds of errors in an answer.
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"
BUSY: Final = "busy"
MISSING: Final = "missing"
DEFECT: Final = "defect"


def error_answer(kind: str, message: str) -> Answer:
    """Return the answer to a request that was not carried out."""
    return {"error": {"kind": kind, "message": message}}
