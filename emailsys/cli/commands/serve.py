"""The command `serve`: the daemon in the foreground, logging to stderr."""

from __future__ import annotations

import sys

import click

from emailsys.cli.command_group import examples
from emailsys.cli.options import place_options

_EXAMPLES = """
emailsys serve                                   loopback only, ports 2525, 2587, 2465, 2110 and 2995
emailsys serve --config /etc/emailsys/emailsys.toml
emailsys serve --state /srv/mail --config test.toml
"""


@click.command(epilog=examples(_EXAMPLES))
@place_options
def serve(state: str | None, config: str | None) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C. It logs to stderr.

    `twistd emailsys` takes the same options and runs the daemon in the background. SIGHUP does what
    `emailsys reload` does.
    """
    from emailsys.daemon import install_reactor

    install_reactor()
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    from emailsys.daemon import service_or_exit
    from emailsys.daemon.log_output import log_writer
    from emailsys.daemon.shutdown import end_once

    daemon = service_or_exit(state, config)
    observer = log_writer(sys.stderr, daemon.settings.monitoring, sys.stderr.isatty())
    daemon.log = observer
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    end_once(reactor)
    daemon.privilegedStartService()
    daemon.startService()
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    reactor.run()
