A POP3 session with a maildrop that has not changed costs a third of the CPU time: the replies to LIST and UIDL are kept. `maildrop_cache` of `[store]` limits their memory (16 MiB).
