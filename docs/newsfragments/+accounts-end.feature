`account remove` says how many messages are there, and deletes or keeps them (`--delete-mail`,
`--keep-mail`); an account without mail leaves no folders. `waiting` lists the servers of all accounts.
`fetch --again` fetches what was fetched before but is not here. The shell completes keys, tags, and the
fields of a search.
