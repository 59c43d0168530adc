"""The operator who makes a change, as the log names them."""

from __future__ import annotations

from typing import NamedTuple


class Actor(NamedTuple):
    """An operator.

    @ivar name: `token-` and the id of an access token, `link-` and a number for a login by a link, or `user-` and the
        user id at the other end of the control socket.
    @ivar ip: the address of a browser or of a client of the API.
    """

    name: str
    ip: str | None = None
