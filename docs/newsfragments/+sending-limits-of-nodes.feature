Nodes that share a PostgreSQL store have one sending limit together. Before, each allowed the limit
until it started again.
