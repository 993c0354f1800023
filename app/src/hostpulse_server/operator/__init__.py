"""The operator's side: acknowledgements, silences, history, alerts as JSON."""
