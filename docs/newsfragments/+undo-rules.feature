In the full screen, `u` moves the messages back that "Apply the rules to this list" has moved.
