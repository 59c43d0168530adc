`emailsys try` serves mail to your browser, and prints a link that logs in once.
