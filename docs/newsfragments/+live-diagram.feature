The web face draws the sequence diagram of a conversation while the session happens. The steps of a
message's journey lead to their conversations on the wire, and its structure is drawn as a tree.
