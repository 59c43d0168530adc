"""The pytest plugin: fixtures `mail_system`, `mailbox` and `mail_system_session`.

pytest imports this module for each run in an environment with emailsys. Everything else is imported by the fixtures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from emailsys.testing.mailbox import Mailbox
    from emailsys.testing.system import MailSystem


@pytest.fixture
def mail_system() -> Iterator[MailSystem]:
    """A mail system for this test alone: real SMTP and POP3 on free ports, `host`, `port` and `pop3_port`."""
    from emailsys.testing.system import MailSystem

    with MailSystem() as system:
        yield system


@pytest.fixture
def mailbox(mail_system: MailSystem) -> Callable[[str], Mailbox]:
    """Mailboxes of this test's mail system: `mailbox("bob").wait_for(subject="Welcome")`."""
    return mail_system.mailbox


@pytest.fixture(scope="session")
def mail_system_session() -> Iterator[MailSystem]:
    """A mail system whose ports stay the same for the whole run, for programs that are configured once.

    Call its `reset` at the beginning of each test.
    """
    from emailsys.testing.system import MailSystem

    with MailSystem() as system:
        yield system


def pytest_unconfigure() -> None:
    """Stop the thread of the mail systems, if a test used one."""
    module = sys.modules.get("emailsys.testing.reactor_thread")
    if module is not None:
        module.stop_shared_reactor_thread()
