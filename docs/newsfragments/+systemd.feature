The daemon reports to systemd (`Type=notify`): ready, reloading, stopping, its condition, and that its
main loop runs (`WatchdogSec`). It uses sockets that systemd has opened (`FileDescriptorName=smtp`).
