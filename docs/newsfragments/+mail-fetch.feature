Mail client: deletes nothing on a server before it is on disk here; says when a message has no usable unique id.
