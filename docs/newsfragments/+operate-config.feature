Operation: "emailsys config" prints a commented example, checks a file for errors and for likely mistakes, and shows what is in force.
