Operators' pages: plots have a scale and name their lines, and show the latency of commits. One box chooses all messages
of a queue page.
