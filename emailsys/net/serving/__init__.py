"""What the SMTP and POP3 servers share: admission, one connection, its replies and its end."""
