"""Login and logout of browsers, the one-time link, and the page of accounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed

from emailsys.interfaces import (
    ClientPassword,
    IDelivery,
    LoginBusy,
    LoginUnchecked,
    ProvenName,
    StoreError,
    TooManyGuesses,
)
from emailsys.mail.envelope import Client
from emailsys.net.serving.session_login import SessionLogin
from emailsys.net.tls.server import describe
from emailsys.web.base.face import Answer, Call, Face, see_other
from emailsys.web.base.refusal import Refusal
from emailsys.web.base.sessions import MAX_ACCOUNTS, LoggedIn
from emailsys.web.base.templates import static_files

# Characters of a name or a password. Longer ones are refused, not hashed.
_MAX_CREDENTIAL: Final = 1000
_WHY_BUSY: Final[Mapping[type[LoginBusy], tuple[str, int]]] = {
    LoginBusy: ("Too many logins.", 429),
    TooManyGuesses: ("Too many failed logins from your network.", 429),
    LoginUnchecked: ("The system that knows your password does not answer.", 503),
}
_ACCOUNT: Final = re.compile(r"/mail/([0-9]+)/")
# A year: the address of a file changes with its content.
_FOREVER: Final = ("Cache-Control", "public, max-age=31536000, immutable")


def client_of(call: Call, login: LoggedIn | None = None) -> Client:
    """Return the browser as the client of a login or of a message."""
    transport = call.request.channel.transport
    return Client(
        "" if call.session is None else call.session.session_id,
        call.ip,
        protocol="HTTPS" if call.is_secure else "HTTP",
        tls=describe(transport),
        account=None if login is None else login.account.address,
        local_ip=str(getattr(transport.getHost(), "host", "")),
    )


def add_login(face: Face) -> None:
    """Serve the pages for logging in and out."""
    face.route("/", _home)
    face.route("/accounts", _accounts)
    face.route("/login", _login_page)
    face.route("/login", _log_in, ("POST",))
    face.route("/logout", _log_out, ("POST",))
    face.route("/once/<token>", _use_link)
    face.route("/static/<tag>/<path:name>", _static)
    # Browsers ask for it where a page names no icon: beside pictures and files.
    face.route("/favicon.ico", _icon)


async def _home(call: Call) -> Answer:
    if call.session is None:
        return see_other("/login")
    if len(call.session.accounts) == 1 and call.face.start:
        return see_other(call.face.start.format(next(iter(call.session.accounts))))
    if call.face.together:
        return see_other(call.face.together)
    return await _accounts(call)


async def _accounts(call: Call) -> Answer:
    if call.session is None:
        return see_other("/login")
    return call.page("accounts.html", title="Accounts")


async def _login_page(call: Call) -> Answer:
    return _login_form(call, call.first("next"))


def _login_form(call: Call, then: str, name: str = "", error: str = "", code: int = 200) -> Answer:
    return call.page("login.html", code, title="Log in", then=_own_path(then), name=name, error=error)


def _own_path(path: str) -> str:
    """Return a path of this server, "" for anything else: the login must not lead to another site."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else ""


async def _log_in(call: Call) -> Answer:
    name, password, then = call.form.get("name").strip(), call.form.get("password"), call.form.get("next")
    if not name or not password:
        return _login_form(call, then, name, "Enter the address of your account and its password.", 400)
    if max(len(name), len(password)) > _MAX_CREDENTIAL:
        return _login_form(call, then, "", "The name or the password is too long.", 400)
    if call.session is not None and len(call.session.accounts) >= MAX_ACCOUNTS:
        return _login_form(call, then, name, "Log out of another account first.", 400)
    telemetry, told = call.face.telemetry, {"session": client_of(call).session or "-", "ip": call.ip}
    try:
        answer = await _enter(call, ClientPassword(name.encode(), password.encode("utf-8", "replace"), call.ip), then)
    except LoginFailed:
        telemetry.event("web-login-refused", **told, user=name)
        return _login_form(call, then, name, "The address or the password is wrong.", 403)
    except LoginBusy as error:
        telemetry.event("web-login-busy", **told, why=type(error).__name__)
        why, status = _WHY_BUSY[type(error)]
        return _login_form(call, then, name, f"{why} Try again in a few minutes.", status)
    except StoreError:
        return _login_form(call, then, name, "The mail store does not answer. Try again in a moment.", 503)
    return answer


async def _enter(call: Call, credentials: ICredentials, then: str = "") -> Answer:
    """Log in, and return the answer that leads to the account.

    Raises as `SessionLogin.log_in` does.
    """
    face = call.face
    login = SessionLogin(face.portal, IDelivery, None)
    client = client_of(call)
    delivery = await login.log_in(credentials, client, lambda: True)
    known = await face.directory.find_login(delivery.account.address.key)
    if known is None:
        login.log_out()
        raise LoginFailed("login failed")
    logged_in = LoggedIn(known.account, delivery, known.password_id, login.log_out)
    session, number = face.sessions.enter(call.session, logged_in)
    face.telemetry.event(
        "web-login", session=session.session_id, ip=call.ip, user=str(known.account.address), tls=client.tls
    )
    # The account may have another number than before.
    old = _ACCOUNT.match(then)
    then = "" if old is not None and old[1] != str(number) else _own_path(then)
    return see_other(then or (face.start.format(number) if face.start else "/"), session)


async def _use_link(call: Call, token: str) -> Answer:
    if call.request.method == b"HEAD":
        # A program looks whether the page exists. The link is for the person.
        return Answer()
    name = call.face.sessions.use_link(token)
    if name is None:
        raise Refusal(403, "This link was used already, or is too old", "Log in with the password of the account.")
    try:
        return await _enter(call, ProvenName(name.encode(), call.ip))
    except LoginFailed:
        raise Refusal(403, "The account of this link is gone", "Log in with another account.") from None
    except LoginBusy:
        raise Refusal(429, "Too many failed logins from your network", "Make another link in a few minutes.") from None


async def _log_out(call: Call) -> Answer:
    session = call.session
    if session is None:
        return see_other("/login")
    number = call.form.get("account")
    if number.isdecimal() and len(number) <= 3:
        call.face.sessions.leave(session, int(number))
    else:
        call.face.sessions.end(session)
    return see_other("/" if session.accounts else "/login")


async def _icon(call: Call) -> Answer:
    return await _static(call, "", "icon.svg")


async def _static(call: Call, tag: str, name: str) -> Answer:
    found = static_files().get(name)
    if found is None:
        raise Refusal(404, "There is no such file")
    headers = (_FOREVER,) if tag == found.tag else ()
    return Answer(found.octets, content_type=found.content_type, headers=headers)
