`move` of many messages takes as long as `delete`. `undelete`, `import` and `reindex` tell progress and
totals. `import DIR` walks subfolders, names each source with its number of messages, and goes on
after files that cannot be read.
