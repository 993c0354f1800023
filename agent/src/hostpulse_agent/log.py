"""Logging: one line an event to stderr, and troubles told once when they begin and end.

Not the ``logging`` package: loggers, handlers and records for a dozen kinds of lines would cost
every host 0.7 MiB.
"""

from __future__ import annotations

import os
import sys

# sd-daemon(3): journald takes the priority from the start of the line.
_PREFIX = {"warning": "<4>", "info": "<6>"}


def _write(level: str, text: str) -> None:
    prefix = _PREFIX[level] if "JOURNAL_STREAM" in os.environ else level.upper() + " "
    try:
        sys.stderr.write(prefix + " ".join(text.splitlines()) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens any more; sampling goes on


def info(text: str) -> None:
    """Log what an operator may want to know."""
    _write("info", text)


def warning(text: str) -> None:
    """Log what an operator should act on."""
    _write("warning", text)


class ProblemLog:
    """Says a lasting trouble once, and once when it is over."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def begin(self, key: str, text: str) -> None:
        """Tell of trouble ``key``, unless this very text was the last told of it."""
        if self.open.get(key) != text:
            self.open[key] = text
            warning(text)

    def end(self, key: str, text: str) -> None:
        """Tell that trouble ``key`` is over, if it was on."""
        if self.open.pop(key, None) is not None:
            info(text)
