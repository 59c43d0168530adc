`emailsys mail list` and `search` sort by sender, subject or size (`--sort`, `--reverse`), and show conversations as
trees (`--threads`); `list --all-accounts` lists a folder of all accounts together. The index is rebuilt once.
