The text of HTML mail names the pictures that the message brings itself in their place, by the number of their part:
`[Logo: picture 1.2]`. `P` in the full screen and `emailsys mail open KEY 1.2` open it.
