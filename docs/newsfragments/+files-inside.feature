Mail client and web: below a message inside another one, its files are named with the numbers by which `save` takes them.
