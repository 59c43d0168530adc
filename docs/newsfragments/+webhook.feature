A route may lead to a webhook, a program that gets the mail by HTTP: `host = "https://app.example.net/mail"` in
`[[routing.routes]]`. Requests are signed as Standard Webhooks describes, and the queue repeats what failed.
