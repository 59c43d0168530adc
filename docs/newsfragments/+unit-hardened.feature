The systemd unit limits system calls, hides other processes and writes no core dumps; its exposure is below 2. `config check` warns of metrics that every host can read.
