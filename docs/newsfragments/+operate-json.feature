Operation: JSON output with --json, exit statuses as in sysexits.h, and completion for bash, zsh and fish.
