Mail client and web: files that programs write into the text (uuencode, yEnc) are attachments, and the text is shown without them. A draft keeps such lines as they were typed.
