Mail without a route no longer goes to addresses that are not public: of this machine, link-local
or private. DNS records and address literals of strangers could make the daemon connect to services
of its own network. Mail that has no other address returns to its sender with 5.4.4. A route may
lead anywhere, and `allow_private = true` in `[outbound]` allows such addresses for all mail.
