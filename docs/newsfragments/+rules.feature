Mail client: rules in mail.toml file, tag and mark new mail by From, To, Subject, list, header field and size, when it is fetched; `emailsys mail rules list`, `test` and `apply`.
