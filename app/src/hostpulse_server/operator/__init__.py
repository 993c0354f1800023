"""What people do and see: acknowledgements, silences, history, alerts as JSON."""
