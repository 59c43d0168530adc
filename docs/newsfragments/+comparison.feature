``python -m benchmarks`` compares emailsys with Postfix and Dovecot on your machine, workload by workload. It checks each
message by a checksum, and writes a table, raw results as JSON, and plots as SVG.
