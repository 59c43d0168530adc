"""Refusals: requests that are answered with a page that says why."""

from __future__ import annotations


class Refusal(Exception):
    """The request is answered with a page in words for the person at the browser."""

    def __init__(self, code: int, title: str, text: str = "", typed: str = "") -> None:
        """@param typed: what the person typed, which the page shows so that it is not lost."""
        super().__init__(title)
        self.code, self.title, self.text, self.typed = code, title, text, typed


class LoginNeeded(Exception):
    """The page is for an account that this browser has not logged in to."""
