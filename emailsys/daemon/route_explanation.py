"""Explanation of routing for `route explain`, in the daemon and without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from emailsys.config.settings import Settings
from emailsys.control.store_access import Explain
from emailsys.daemon.srs_secret import SRS_SECRET, read_secret
from emailsys.interfaces import IAliases, IDirectory
from emailsys.interfaces.operators import IRouteAdministration
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import OUTBOUND_OFF
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.next_hop import Choice, ForwardedSenders, Routes, explain
from emailsys.supervisor import StartupError


class Routing(Protocol):
    """The parts of a store that routing needs."""

    directory: Any
    routes: Any


def explainer(
    settings: Settings,
    store: Routing,
    failure: Callable[[NextHop], str] = lambda hop: "",
    routes: Routes | None = None,
) -> Explain:
    """Return a function that explains routing by the current store and configuration.

    @param failure: returns why the last attempt reached no host of a next hop, "" if it did or if no daemon runs.
    @param routes: those of a running daemon. Default: those of the settings.
    """
    directory: IDirectory = store.directory
    names: IAliases = store.directory
    stored: IRouteAdministration = store.routes
    routing, outbound = settings.routing, settings.outbound
    secret = _secret(settings.state)
    senders = None
    if secret is not None:
        senders = ForwardedSenders(secret, directory, lambda: datetime.now(UTC), routing.srs_domain)
    aliases = AliasRouter(directory, names, outbound.own_addresses, senders)
    in_use = Routes(routing, outbound.tls, stored) if routes is None else routes

    def problem(hop: NextHop) -> str | None:
        return (failure(hop) if outbound.enabled else OUTBOUND_OFF.text) or None

    async def answer(address: Address, sender: Address | None) -> Mapping[str, Any]:
        found = await explain(aliases, await in_use.table(), address, sender)
        return {
            "address": str(address),
            "sender": None if sender is None else str(sender),
            "steps": [{"depth": step.depth, "what": str(step)} for step in found.expansion.steps],
            "next_hops": [
                {"recipient": str(path), **_choice(choice), "problem": problem(choice.next_hop)}
                for path, choice in found.next_hops
            ],
            "routes": len(found.expansion.routes),
        }

    return answer


def _choice(choice: Choice) -> dict[str, Any]:
    hop = choice.next_hop
    return {
        "next_hop": str(hop),
        "why": choice.why,
        "tls": hop.policy.value,
        "login": None if hop.login is None else hop.login.username,
    }


def _secret(state: Path) -> bytes | None:
    """Return the key of rewritten senders, None if the daemon has not created one yet, or cannot use it."""
    try:
        return read_secret(state / SRS_SECRET)
    except (OSError, StartupError):
        return None
