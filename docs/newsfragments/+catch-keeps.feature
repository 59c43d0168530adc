`emailsys catch` keeps the newest 10,000 messages and 256 MiB (`--keep`, `--keep-size`), and browsers open it by the names of `--name`.
