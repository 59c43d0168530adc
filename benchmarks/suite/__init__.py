"""The comparison of mail servers: load generator, servers, workloads, results and plots."""
