Notices to one address of another system are capped (``queue.max_notices_per_hour``), so that a forged sender cannot be flooded.
