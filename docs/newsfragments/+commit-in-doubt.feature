During an outage of the disk, clients whose commit is in doubt wait for the truth for up to five minutes, and all others get 451 or ``-ERR [SYS/TEMP]`` after ten seconds.
