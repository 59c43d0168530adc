"""Maintenance: periodic tasks, the sweeper of bodies, retention."""
