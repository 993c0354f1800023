"""The alert engine: rules, the state of alerts, liveness, and who is told."""
