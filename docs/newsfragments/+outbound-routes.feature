Outbound: mail leaves by MX or by smart hosts, for each recipient domain or sender domain; "emailsys route explain" shows the route and the reason.
