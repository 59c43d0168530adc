Operation: "emailsys status" shows the running system on one screen, including a disk or a quota that is nearly full.
