Port 0 in `[listen]` takes a free port. `emailsys status`, its `--json` and `listening.json` in the state folder tell which one.
