"""Logging: one line per event to stderr; a lasting problem is logged when it begins and ends.

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
        pass  # stderr is closed; sampling goes on


def info(text: str) -> None:
    """Log what an operator may want to know."""
    _write("info", text)


def warning(text: str) -> None:
    """Log what an operator should act on."""
    _write("warning", text)


class ProblemLog:
    """Logs a lasting problem once when it begins and once when it ends.

    ``open`` maps the key of each current problem to its text.
    """

    def __init__(self) -> None:
        self.open: dict[str, str] = {}

    def begin(self, key: str, text: str) -> None:
        """Log ``text`` as a warning, unless it was the last text logged for ``key``."""
        if self.open.get(key) != text:
            self.open[key] = text
            warning(text)

    def end(self, key: str, text: str) -> None:
        """Log that problem ``key`` is over, if it was open."""
        if self.open.pop(key, None) is not None:
            info(text)
