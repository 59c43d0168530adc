"""A daemon as `serve` and twistd prepare it; errors are raised, and end no process."""

from __future__ import annotations

import os

from emailsys.daemon.own_process import OwnProcess
from emailsys.daemon.service import Daemon
from emailsys.daemon.shutdown import note_hang_ups
from emailsys.daemon.startup import prepare_with, read_configuration


def prepared(state: str, config: str, background: bool = False) -> Daemon:
    """Prepare it. The umask and the handler of SIGHUP are then those of a daemon."""
    note_hang_ups()
    os.umask(0o077)
    return prepare_with(*read_configuration(state, config), background, kind=OwnProcess)
