On a narrow terminal, `emailsys mail list` and `search` cut long names and subjects: each message has one line.
