"""Text of a problem with the advice that belongs to it."""

from __future__ import annotations


def problem_text(problem: str, advice: str = "") -> str:
    """Join a problem and its advice into one line. Both may be whole sentences or parts of one."""
    if not advice:
        return problem
    if problem.endswith((".", "!", "?")):
        return f"{problem} {advice[0].upper()}{advice[1:]}"
    if advice[0].isupper():
        return f"{problem}. {advice}"
    return f"{problem}; {advice}"
