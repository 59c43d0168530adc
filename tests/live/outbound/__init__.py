"""Mail to other hosts, by real mail systems."""
