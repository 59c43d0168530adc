"""Reading of requests: the JSON object that arrived on the control socket becomes a request."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Final

from emailsys.control.daemon_requests import MoveHold, Reload, Restart
from emailsys.control.directory_requests import DirectoryChange, DirectoryRead
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import (
    AliasAdd,
    AliasList,
    AliasRemove,
    AliasSet,
    DomainAdd,
    DomainAddMany,
    DomainList,
    DomainQuota,
    DomainRemove,
    Init,
    QueueChangeRows,
    QueueList,
    QueueSummary,
    Request,
    RouteExplain,
    RouteList,
    RouteRemove,
    RouteSet,
    Status,
    TokenAdd,
    TokenList,
    TokenRemove,
    Trace,
    UserAdd,
    UserAddMany,
    UserEnabled,
    UserForward,
    UserGet,
    UserList,
    UserMaySendAs,
    UserPassword,
    UserQuota,
    UserRemove,
    Verify,
    WebLogin,
    forms_of,
)
from emailsys.control.wire_requests import WireGet, WireList, WireWatch

REQUESTS: Final[dict[str, type[Request]]] = {
    kind.command: kind
    for kind in (
        DomainAdd,
        DomainAddMany,
        DomainList,
        DomainRemove,
        DomainQuota,
        UserAdd,
        UserAddMany,
        UserGet,
        UserList,
        UserRemove,
        UserPassword,
        UserEnabled,
        UserForward,
        UserQuota,
        UserMaySendAs,
        TokenAdd,
        TokenList,
        TokenRemove,
        AliasSet,
        AliasAdd,
        AliasRemove,
        AliasList,
        RouteSet,
        RouteRemove,
        RouteList,
        RouteExplain,
        DirectoryRead,
        DirectoryChange,
        QueueList,
        QueueSummary,
        QueueChangeRows,
        Trace,
        Verify,
        WireList,
        WireGet,
        WireWatch,
        WebLogin,
        Status,
        Reload,
        Restart,
        MoveHold,
        Init,
    )
}


def read_request(document: object) -> Request:
    """Make the request that a JSON value describes.

    @raise MalformedRequest: it is not an object with a known command and the fields of this command.
    """
    if not isinstance(document, dict):
        raise MalformedRequest(f"found {type(document).__name__}; allowed: a JSON object with the field command")
    given = dict(document)
    name = given.pop("command", None)
    kind = REQUESTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MalformedRequest(f"command: found {name!r}; allowed: {', '.join(REQUESTS)}")
    values: dict[str, Any] = {}
    forms = forms_of(kind)
    for field in fields(kind):
        form = forms[field.name]
        if field.name in given:
            value = given.pop(field.name)
            try:
                values[field.name] = form.decode(value)
            except (TypeError, ValueError):
                raise form.error(field.name, value) from None
        elif field.default is MISSING:
            raise MalformedRequest(f"{field.name}: found nothing; allowed: {form.allowed}")
    if given:
        raise MalformedRequest(f"{min(map(str, given))}: found a field that this command does not have")
    return kind(**values)
