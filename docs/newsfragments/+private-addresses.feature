Mail without a route no longer goes to addresses that are not public: of this machine, link-local
or private. DNS records and address literals of strangers could make the daemon connect to services
of its own network. Mail for a domain that has only private addresses waits with 4.3.5, and
`emailsys status` says so. Set a route for it; otherwise it returns after `give_up_after`. Mail for a
domain that has only loopback, link-local or similar addresses, and mail for an address literal,
returns at once with 5.4.4. A route may lead anywhere, and `allow_private = true` in `[outbound]`
allows such addresses for all mail.
