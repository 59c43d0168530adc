`emailsys password` changes your own password, from any machine: it logs in to the submission server with the old one and sends the new one by the command XPASSWORD.
