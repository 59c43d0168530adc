Accounts: quotas for maildrops and domains; owner and postmaster get a message at 90 %.
