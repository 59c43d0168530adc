"""Routes in the store, read from their rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from emailsys.mail.next_hop import HostLogin, HostRoute, NextHop, TLSPolicy
from emailsys.store.schema.tables import routes


def read_routes(connection: Connection) -> Sequence[HostRoute]:
    """Read all routes by sender domain, then recipient domain."""
    asked = select(routes).order_by(routes.c.sender_domain, routes.c.recipient_domain)
    return tuple(
        HostRoute(
            NextHop(
                name=row.host,
                port=row.port,
                tls=TLSPolicy(row.tls),
                implicit_tls=bool(row.implicit_tls),
                login=HostLogin(row.username, row.password) if row.username else None,
                certificate_name=row.certificate_name,
                certificate_fingerprint=row.certificate_fingerprint,
            ).at_destination(),
            row.recipient_domain,
            row.sender_domain,
        )
        for row in connection.execute(asked).all()
    )
