Mail leaves: aliases, routes and smart hosts, a durable queue with notifications, `emailsys queue`, `trace`, `verify`, `status`, quotas that warn by mail, and metrics.
