"""The client's responses in the SASL mechanisms PLAIN, LOGIN and XOAUTH2, as lines of base64."""

from __future__ import annotations

import base64


def base64_line(text: str) -> bytes:
    """A line of an authentication exchange (RFC 4954 §4, RFC 5034 §4)."""
    return base64.b64encode(text.encode()) + b"\r\n"


def plain_response(username: str, password: str) -> bytes:
    """RFC 4616 §2, without an authzid."""
    return base64_line(f"\0{username}\0{password}")


def login_responses(username: str, password: str) -> list[bytes]:
    """The responses to the prompts for name and password (draft-murchison-sasl-login)."""
    return [base64_line(username), base64_line(password)]


def xoauth2_response(username: str, token: str) -> bytes:
    """A bearer token (RFC 6750) as Google and Microsoft take it in XOAUTH2."""
    return base64_line(f"user={username}\1auth=Bearer {token}\1\1")
