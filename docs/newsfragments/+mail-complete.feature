Mail client: completes addresses from your mail, on the screen, in the session and in the shell.
