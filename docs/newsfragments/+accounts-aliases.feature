Accounts: domains, users, aliases, catch-alls and +tags; an account always comes before the catch-all.
