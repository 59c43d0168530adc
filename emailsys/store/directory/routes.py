"""Administration of routes: mail that goes to a named host instead of MX hosts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert
from zope.interface import implementer

from emailsys.interfaces.operators import AdminError, IRouteAdministration
from emailsys.mail.address import domain_key
from emailsys.mail.next_hop import HostRoute
from emailsys.store.directory.cache import Directory
from emailsys.store.directory.changes import Changes
from emailsys.store.schema import tables


@implementer(IRouteAdministration)
class Routes:
    """Administration of routes. Each change is one transaction."""

    def __init__(self, changes: Changes, directory: Directory) -> None:
        self._changes = changes
        self._directory = directory

    async def set_route(self, route: HostRoute) -> None:
        """Add a route, or replace the route for the same domains."""
        hop = route.next_hop
        login = hop.login
        values = {
            "recipient_domain": domain_key(route.recipient_domain),
            "sender_domain": domain_key(route.sender_domain),
            "host": hop.destination,
            "port": hop.port,
            "tls": hop.tls.value,
            "implicit_tls": hop.implicit_tls,
            "certificate_name": hop.certificate_name,
            "certificate_fingerprint": hop.certificate_fingerprint,
            "username": "" if login is None else login.username,
            "password": "" if login is None else login.password,
        }

        def put(connection: Connection) -> None:
            _delete(connection, values["recipient_domain"], values["sender_domain"])
            connection.execute(insert(tables.routes).values(**values))

        await self._changes.run("set-route", put)

    async def remove_route(self, recipient_domain: str, sender_domain: str) -> None:
        """Remove a route.

        @raise AdminError: there is no such route.
        """

        def remove(connection: Connection) -> None:
            if not _delete(connection, domain_key(recipient_domain), domain_key(sender_domain)):
                raise AdminError("there is no route for these domains in the store")

        await self._changes.run("remove-route", remove)

    async def routes(self) -> Sequence[HostRoute]:
        """List routes by sender domain, then recipient domain."""
        return await self._directory.routes()


def _delete(connection: Connection, recipient_domain: object, sender_domain: object) -> int:
    table = tables.routes
    return connection.execute(
        delete(table).where(table.c.recipient_domain == recipient_domain, table.c.sender_domain == sender_domain)
    ).rowcount
