RETR of large messages takes less than half of the CPU time, and the next messages are read while a client fetches the last ones.
