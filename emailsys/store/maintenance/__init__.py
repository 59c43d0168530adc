"""Periodic maintenance: the pace of the tasks, the sweeper of bodies, retention."""
