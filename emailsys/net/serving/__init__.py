"""Parts shared by the SMTP and POP3 servers: connection limits, connections, replies, logins and closing."""
