"""HTML of a message as a page for a browser: no scripts, no forms, nothing from the network."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from typing import Final

from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.values import DecryptionState
from emailsys.client.opening.nesting import is_too_complex as is_too_complex
from emailsys.client.opening.values import OpeningError
from emailsys.mail.message.contents import contents
from emailsys.mail.message.mime import Part, parse

# What a browser may do with the page: show pictures that are in it, and its own styles.
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "script-src 'none'; object-src 'none'; frame-src 'none'"
)
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_MAX_PICTURES: Final = 30_000_000
_MAX_HTML: Final = 10_000_000
# Elements that HTML opens again in each block after the one in which they were left open (WHATWG HTML §13.2.4.3). A few
# thousand of them before a few thousand blocks would become millions of elements, and fill the memory.
_FORMATTING: Final = ("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
# While HTML is cleaned, they have other names, to which that does not happen.
_NAMED: Final = re.compile(rf"<(/?)({'|'.join(_FORMATTING)})(?=[\s/>])", re.I)
_RENAMED: Final = re.compile(rf"<(/?)x-({'|'.join(_FORMATTING)})(?=[\s/>])")
_ATTRIBUTES: Final[Mapping[str, set[str]]] = {
    "*": {"align", "bgcolor", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href"},
    "img": {"alt", "src"},
    "x-font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap"},
    "ol": {"start", "type"},
    "time": {"datetime"},
}
# Properties whose values load nothing, and which cannot cover the page.
_STYLES: Final = {
    *("background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left", "border-radius"),
    *("border-right", "border-spacing", "border-style", "border-top", "border-width", "color", "direction", "display"),
    *("float", "clear", "font", "font-family", "font-size", "font-style", "font-weight", "height", "letter-spacing"),
    *("line-height", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width", "min-width"),
    *("padding", "padding-bottom", "padding-left", "padding-right", "padding-top", "text-align", "text-decoration"),
    *("text-indent", "text-transform", "vertical-align", "visibility", "white-space", "width", "word-break"),
}


def page_of(octets: bytes, opener: Opener) -> str:
    """Return the HTML of a message as a page that loads nothing and runs nothing.

    Pictures that the message has itself are in the page; those of the network are left out.

    @param opener: opens protected parts.
    @raise OpeningError: the message has no HTML, or too much of it, or it cannot be decrypted.
    """
    opened = opener.open(parse(octets))
    root = opened.root
    # HTML that is attached, or that belongs to a message inside, is not what the message says.
    html = html_of(root)
    if html is None and any(one.decryption not in (None, DecryptionState.DECRYPTED) for one in opened.layers):
        raise OpeningError("The message is encrypted and was not opened: its HTML, if it has any, cannot be read.")
    if html is None:
        raise OpeningError("The message has no HTML.")
    text = html.text()[0]
    if len(text) > _MAX_HTML:
        raise OpeningError("The HTML is too long to be opened. Save it.")
    if is_too_complex(text):
        raise OpeningError("The HTML has too many elements inside of each other to be opened. Save it.")
    body = cleaned(text, root)
    subject = escape(" ".join(root.decoded_of("subject").split())[:200])
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="referrer" content="no-referrer">'
        # Browsers look up the hosts of links ahead.
        '<meta http-equiv="x-dns-prefetch-control" content="off">'
        f"<title>{subject or 'Message'}</title></head>\n<body>{body}</body></html>\n"
    )


def html_of(root: Part) -> Part | None:
    """Return the part with the HTML of a message; None if it has none that is not attached or inside of it."""
    return next((one for one in contents(root, prefer_html=True).texts if one.content_type == "text/html"), None)


def cleaned(text: str, root: Part, with_remote: bool = False) -> str:
    """Return HTML without scripts, forms, and all that could run or cover a page.

    Pictures that the message has itself are put into it.

    @param with_remote: whether pictures of the network stay. Their hosts learn when and where the message is read.
    """
    import nh3

    pictures = _Pictures(root, with_remote)

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            return pictures.source(value) if tag == "img" else None
        if name == "href":
            scheme = value.strip().partition(":")[0].lower()
            return value if scheme in ("http", "https", "mailto") else None
        return value

    allowed = (nh3.ALLOWED_TAGS | {"font"}) - {"area", "map"}
    clean = nh3.clean(
        _NAMED.sub(r"<\1x-\2", text),
        tags={f"x-{tag}" if tag in _FORMATTING else tag for tag in allowed},
        clean_content_tags={"script", "style", "title", "noscript", "template", "iframe", "object", "svg", "math"},
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "cid", "data"},
        url_relative="deny",
        filter_style_properties=set(_STYLES),
        link_rel="noopener noreferrer nofollow",
    )
    return _RENAMED.sub(r"<\1\2", clean)


class _Pictures:
    """The pictures that the message has itself, by their Content-ID (RFC 2392)."""

    def __init__(self, root: Part, with_remote: bool = False) -> None:
        self._with_remote = with_remote
        self._parts = {one.content_id: one for one in root.walk() if one.content_id and one.content_type in _PICTURES}
        self._octets_left = _MAX_PICTURES

    def source(self, value: str) -> str | None:
        value = value.strip()
        kind, _, rest = value.partition(":")
        if kind.lower() == "data":
            return value if rest.partition(";")[0].lower() in _PICTURES else None
        if kind.lower() in ("https", "http") and self._with_remote:
            return value
        if kind.lower() != "cid":
            return None
        from urllib.parse import unquote

        part = self._parts.get(rest) or self._parts.get(unquote(rest))
        octets = part.decoded()[0] if part is not None else b""
        if part is None or len(octets) > self._octets_left:
            return None
        self._octets_left -= len(octets)
        return f"data:{part.content_type};base64,{base64.b64encode(octets).decode()}"
