Certificates on disk that change are read by the daemon within a minute, without SIGHUP. A pair that
is still being written waits.
