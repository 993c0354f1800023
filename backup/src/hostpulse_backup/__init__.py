"""Backups of what a hostpulse host cannot make again: created, verified, tested and restored.

Only the standard library, Python 3.9 or newer: it runs with the host's own interpreter, also where
the rest of hostpulse is gone.
"""

from __future__ import annotations

__version__ = "0.1.0"

FORMAT = 1
