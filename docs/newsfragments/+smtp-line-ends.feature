SMTP: refuses a bare CR or LF, so that no other system can disagree on where a message ends (SMTP smuggling).
