The mail system can be a service of another Twisted program: `makeService` then raises `ConfigError` instead of ending
the process, leaves signal handlers and the umask alone, and what it returns can be started again after a stop.
