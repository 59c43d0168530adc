The package installs the man pages emailsys(1) and emailsys-mail(1).
