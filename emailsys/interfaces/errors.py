"""Exceptions of the store, of maildrops and of logins, with the replies they become."""

from __future__ import annotations


class StoreError(Exception):
    """The store failed for now and changed nothing. Becomes 451 or -ERR [SYS/TEMP]."""


class StoreFull(StoreError):
    """The disk is full, or the limit of waiting writes is reached. Becomes 452 4.3.1."""


class StoreMissing(StoreError):
    """The store does not exist, or its files are gone. Becomes 451 4.3.5, 454 or -ERR [SYS/TEMP].

    A missing store knows no accounts. No address may therefore be refused permanently.
    """


class NoDomains(StoreMissing):
    """The store has no domain: it is new, or it is the wrong store. Becomes the same replies."""


class LeaseUncertain(StoreError):
    """Another node may have taken the lease of a message that is being sent, so its end must not be sent."""


class StoreDamaged(StoreError):
    """Stored data differs from what was accepted or cannot be read. Becomes -ERR [SYS/PERM]; queued mail is held."""


class TooMuchHeld(Exception):
    """Too much mail of the sender is held already. The message was not accepted. Becomes 450 4.7.1."""


class MaildropInUse(Exception):
    """Another session holds the maildrop (RFC 2449 §8.1.2, IN-USE)."""


class MaildropLost(Exception):
    """Another login took over the maildrop of an idle session. The deletes of that session are void."""


class LoginBusy(Exception):
    """Too many logins wait for verification. Becomes 454 4.7.0 or -ERR [SYS/TEMP]."""


class LoginUnchecked(LoginBusy):
    """Another system that knows the password cannot be asked now. Becomes the same replies, with a text of its own.

    @ivar is_guess: whether the account has a password in this system, and the client sent another one. It counts as a
        failed login.
    """

    def __init__(self, is_guess: bool = False) -> None:
        super().__init__()
        self.is_guess = is_guess


class TooManyGuesses(LoginBusy):
    """The client's network has too many failed logins. The password was not verified."""
