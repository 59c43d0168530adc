SMTP: keeps each message octet for octet; new header fields are put in front and nothing else changes.
