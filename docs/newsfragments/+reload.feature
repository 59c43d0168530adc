A reload (SIGHUP) says which settings of the configuration file have changed and need a restart: the
event `restart-needed` names them. If the file is wrong, `config-refused` says why.
