Mail client: reads damaged MIME, names each defect, and shows the structure of a message.
