`emailsys trace QUEUE_ID --export FILE.html` draws the way of a message: each step with its time, and the recorded conversation in which it happened, with its TLS handshake and every line explained.
