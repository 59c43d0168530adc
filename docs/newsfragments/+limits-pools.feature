The receive port, the submission ports and the POP3 ports have separate pools of connections
(``smtp.max_submission_connections``). If a pool is nearly full, clients that are silent before login are disconnected
first, so that idle connections no longer shut out others.
