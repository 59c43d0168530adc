SMTP: answers 452 at MAIL while the disk has less than 1.5 times the largest message free, and keeps 16 MiB for deleting.
