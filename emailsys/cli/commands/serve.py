"""The command `serve`: the daemon in the foreground, with its log on stderr."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option("--state", metavar="DIR", help="State folder; else $EMAILSYS_STATE, else the default of this user.")
@click.option(
    "--config",
    metavar="FILE",
    help="Configuration; else $EMAILSYS_CONFIG, /etc/emailsys/emailsys.toml, DIR/emailsys.toml.",
)
def serve(state: str | None, config: str | None) -> None:
    """Run the daemon in the foreground and log to stderr, until SIGTERM or Ctrl-C.

    `twistd emailsys` takes the same options and does the same in the background. SIGHUP reads renewed certificates.
    """
    from emailsys.tap import install_reactor

    install_reactor()
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    from emailsys.tap import service_or_exit
    from emailsys.tap.shutdown import end_once
    from emailsys.telemetry import LogWriter

    daemon = service_or_exit(state, config)
    globalLogBeginner.beginLoggingTo([LogWriter(sys.stderr)], redirectStandardIO=False)
    end_once(reactor)
    daemon.privilegedStartService()
    daemon.startService()
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    reactor.run()
