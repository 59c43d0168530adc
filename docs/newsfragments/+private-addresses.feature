Mail without a route no longer goes to addresses that are not public: of this machine, link-local
or private. DNS records and address literals of strangers could make the daemon connect to services
of its own network. Mail for a domain that has no other address waits with 4.3.5, and an alarm says
so until you add a route; mail for an address literal returns with 5.4.4. A route may lead anywhere, and `allow_private = true` in `[outbound]` allows such addresses for all mail.
