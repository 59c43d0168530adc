The list of attachments tells the size of a picture in pixels, before you save it.
