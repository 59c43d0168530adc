`emailsys watch --export FILE.html` writes the recorded conversations as a page that needs no network and no script.
