Mail client: a message whose From is an address of your own mail system, but that came from a client without a login, is shown with a warning. The JSON of `emailsys mail show` has it in `warnings`.
