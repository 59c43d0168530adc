SMTP: authenticated users can send only from addresses at which they receive.
