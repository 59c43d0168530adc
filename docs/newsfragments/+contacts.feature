`emailsys mail contact` keeps people and groups with short names for To, Cc and Bcc, and reads and writes vCard files.
