The first `MailSystem` of a test run starts with a tenth less CPU time: modules that read messages and the dialect of
PostgreSQL are imported when they are used.
