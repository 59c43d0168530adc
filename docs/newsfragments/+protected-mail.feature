Mail client: a message that is encrypted or signed with OpenPGP or S/MIME says so above its text, and so does a `winmail.dat`.
