`emailsys restart` restarts the daemon without refusing a connection: a new process takes over its
ports and serves before the former one stops accepting. After an upgrade, it runs the new release.
If it cannot start, the former process goes on and says why.
