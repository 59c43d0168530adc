Guessing of recipients is limited by network: unknown recipients are refused late, and after twenty of them all
recipients of the network get 451 for some minutes (``limits.max_unknown_recipients``).
