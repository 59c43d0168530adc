Full screen: `M` adds, renames and removes folders, empties Trash, tries and applies rules, and imports and exports mbox files, maildirs and `.eml` files.
