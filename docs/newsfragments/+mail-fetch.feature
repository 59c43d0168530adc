Mail client: deletes nothing on a server before it is on your disk; says if a message has no usable unique id.
