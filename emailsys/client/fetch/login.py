"""Opening of an account's maildrop: secret, connection, and login, with advice for each failure."""

from __future__ import annotations

from collections.abc import Callable

from emailsys.client.accounts.blocking_secrets import BlockingSecrets
from emailsys.client.accounts.values import Account, AccountError, Server
from emailsys.client.fetch.connect import Unreachable, connect_pop3, login_pop3
from emailsys.client.fetch.pop3 import POP3Client, POP3Lost, POP3Refused
from emailsys.client.fetch.stream import Stream
from emailsys.client.fetch.values import FetchError
from emailsys.wire.pop3.client_commands import ArgumentError

CERTIFICATE_ADVICE = (
    "if you know this server, name the file of its authority (--ca-file, in mail.toml ca_file), or compare the "
    "fingerprint of its certificate and pin it (--fingerprint, fingerprint)"
)
LOGIN_ADVICE = "check user name and password; some providers require an app password, or POP3 to be enabled"


def pop3_of(account: Account) -> Server:
    """Return the account's POP3 server. @raise FetchError: the account has none."""
    if account.pop3 is None:
        raise FetchError(f"the account {account.name} has no POP3 server", "add one, or fetch other accounts")
    return account.pop3


def refused_login(server: Server, refused: POP3Refused, forget: Callable[[Server], None]) -> FetchError:
    """Return the error for a server's -ERR to the login (RFC 2449 §8.1, RFC 3206).

    @param forget: called if the server rejected the secret.
    """
    answer = refused.answer
    said = f"{server} refused the login of {server.username}: {answer.text or 'no reason given'}"
    if answer.code == "IN-USE":
        return FetchError(said, "another session has the maildrop open; wait until it ends", transient=True)
    if answer.code in ("SYS/TEMP", "LOGIN-DELAY"):
        return FetchError(said, "try again later", transient=True)
    if answer.code == "SYS/PERM":
        return FetchError(said, "the account has to be repaired by the provider")
    forget(server)
    return FetchError(said, LOGIN_ADVICE)


def open_maildrop(stream: Stream, account: Account, secrets: BlockingSecrets) -> POP3Client:
    """Return a session after the login. Blocks.

    @raise FetchError: the maildrop cannot be opened.
    """
    server = pop3_of(account)
    try:
        secret = secrets.get(account, server)
        client = connect_pop3(stream, server)
    except AccountError as error:
        stream.close()
        raise FetchError(str(error)) from error
    except Unreachable as error:
        raise FetchError(
            str(error), CERTIFICATE_ADVICE if error.certificate else "", transient=not error.certificate
        ) from error
    try:
        login_pop3(client, server, secret)
    except BaseException as error:
        client.close()
        match error:
            case POP3Refused():
                raise refused_login(server, error, secrets.refused) from error
            case POP3Lost():
                raise FetchError(str(error), transient=True) from error
            case ArgumentError():
                raise FetchError(f"{error} of {account.name}", LOGIN_ADVICE) from error
        raise
    return client
