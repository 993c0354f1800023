"""Evaluation of rules over samples; ``evaluator`` is the entry point."""
