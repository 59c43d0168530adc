`emailsys mail import` reads messages in a second process while the first one stores those before
them, on Linux with two processors or more.
