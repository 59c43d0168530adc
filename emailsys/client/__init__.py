"""The mail client: accounts, composing, the local store, fetching and sending, on the command line and on screen."""
