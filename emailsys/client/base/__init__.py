"""What the rooms of the client share: locks between processes, threads, folders, locations of files."""
