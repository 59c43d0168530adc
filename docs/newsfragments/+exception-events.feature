Log events of unexpected exceptions end with `-exception` and are words joined by `-`, such as `smtp-exception`. They are listed with the other stable names.
