"""What the evaluator is made of; ``alerts.evaluator`` is the way in."""
