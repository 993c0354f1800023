"""What every process needs: clock, logs, signals, systemd, counters that processes share."""
