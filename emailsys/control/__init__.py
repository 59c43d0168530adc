"""Control socket: operators' commands to a running daemon, as requests and answers in JSON, and their handlers."""
