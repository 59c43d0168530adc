Mail client: the full screen fetches by itself every 5 minutes (`fetch_every` in mail.toml; 0 for off), and `notify` runs notify-send or a command of yours for new mail.
