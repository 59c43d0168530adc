SMTP: answers 250 only after one commit has put the message into every local maildrop and every queue row, on disk.
