Mail client: takes passwords from the keyring, from a command or from a prompt, and never writes them into a file.
