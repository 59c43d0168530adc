"""Columns of `messages` for the parameters of MAIL, in the order of the schema."""

from __future__ import annotations

from typing import Any, Final

from emailsys.mail.dsn_request import NOTHING_ASKED, MessageRequest, Return
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.store.schema.tables import messages

COLUMNS: Final = (messages.c.body_type, messages.c.smtputf8, messages.c.ret, messages.c.envid)


def values(asked: MailParameters) -> tuple[str, bool, str | None, str | None]:
    """Convert parameters of MAIL to the values of the columns."""
    ret = asked.dsn.ret
    return asked.body.value, asked.smtputf8, None if ret is None else ret.value, asked.dsn.envid


def parameters_of(row: Any) -> MailParameters:
    """Read parameters of MAIL from a row that has the columns."""
    body, smtputf8, ret, envid = (row[column] for column in COLUMNS)
    dsn = NOTHING_ASKED
    if ret is not None or envid is not None:
        dsn = MessageRequest(None if ret is None else Return(ret), envid)
    return MailParameters(BodyType(body), bool(smtputf8), dsn)
