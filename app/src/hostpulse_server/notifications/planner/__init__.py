"""Decides which messages are due; pure."""
