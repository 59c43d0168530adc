"""Account tests: test both servers of an account, and print accounts and test results as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emailsys.cli.mail.session import Session
    from emailsys.client.accounts.secrets import Secrets
    from emailsys.client.accounts.values import Account, Server
    from emailsys.client.trial.result import TrialResult


def account_fields(one: Account) -> dict[str, Any]:
    """Return the JSON fields of an account, without secrets."""
    return {
        "name": one.name,
        "address": str(one.address),
        "aliases": [str(alias) for alias in one.aliases],
        "display_name": one.display_name,
        "pop3": _server_fields(one.pop3),
        "smtp": _server_fields(one.smtp),
        "keep": f"{one.keep.days} days" if one.keep.days else one.keep.kind.value,
        "max_octets": one.max_octets,
        "copy_to_sent": one.copy_to_sent,
        "signature": one.signature,
        "fetch_every": one.fetch_every,
        "notify": None if one.notify is None else " ".join(one.notify.command) or "desktop",
        "rules": len(one.rules),
    }


def _server_fields(server: Server | None) -> dict[str, Any] | None:
    if server is None:
        return None
    return {
        "host": server.host,
        "port": server.port,
        "security": server.security.value,
        "username": server.username,
        "auth": server.auth.value,
        "secret": server.secret.kind.value,
        "ca_file": str(server.ca_file) if server.ca_file else None,
        "fingerprint": server.fingerprint or None,
    }


async def try_account(
    reactor: Any, one: Account, secrets: Secrets, session: Session | None = None
) -> list[TrialResult]:
    """Test both servers of an account. @param session: records the connections if a verb says so."""
    from emailsys.client.trial.pop3 import try_pop3
    from emailsys.client.trial.smtp import try_smtp

    results = []
    if one.pop3 is not None:
        results.append(await try_pop3(reactor, one, secrets, None if session is None else session.streams()))
    if one.smtp is not None:
        results.append(await try_smtp(reactor, one, secrets, None if session is None else session.wiretap))
    return results


def trial_fields(result: TrialResult) -> dict[str, Any]:
    """Return the JSON fields of a server test."""
    return {
        "protocol": result.protocol,
        "server": str(result.server),
        "problem": result.problem,
        "advice": result.advice,
        "tls": result.tls,
        "fingerprint": result.fingerprint,
        "offers": list(result.offers),
        "messages": result.messages,
    }


def trial_text(result: TrialResult) -> str:
    """Return the result of a server test as one line, and if it failed, as up to three."""
    from emailsys.client.display.list_text import message_count
    from emailsys.client.text.terminal import safe_text

    if result.problem is None:
        waiting = f", {message_count(result.messages)} on the server" if result.messages is not None else ""
        return safe_text(f"{result.protocol} {result.server}: OK{waiting} ({result.tls or 'no TLS'})")
    lines = [f"{result.protocol} {result.server}: {result.problem}"]
    if result.advice:
        lines.append(f"  {result.advice}")
    if result.fingerprint:
        lines.append(f"  SHA-256 fingerprint of its certificate: {result.fingerprint}")
    return safe_text("\n".join(lines))
