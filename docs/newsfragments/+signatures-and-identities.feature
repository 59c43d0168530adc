Accounts can have a signature. Answers come from the address that was written to, and From in the full screen offers the aliases of all accounts.
