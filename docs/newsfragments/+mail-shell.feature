Mail client: a line-by-line session for slow terminals and screen readers.
