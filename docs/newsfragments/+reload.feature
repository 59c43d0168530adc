`emailsys reload` and SIGHUP apply the configuration without a restart: limits, time-outs, routes,
quotas, queue settings, certificates and the log level. The whole configuration is checked first. If
it is wrong, nothing changes, and the command and the log (`config-refused`) say why. Keys that need
a restart are named with the reason (`restart-needed`). `emailsys reload --check` changes nothing.
