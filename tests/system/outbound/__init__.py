"""System tests of the queue and of outbound delivery, most of them on a fake clock."""
