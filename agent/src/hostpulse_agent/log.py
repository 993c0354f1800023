"""Logging: one line an event to stderr, and troubles told once when they begin and end."""

from __future__ import annotations

import logging
import os

LOG = logging.getLogger("hostpulse")
_PRIORITY = {logging.ERROR: "<3>", logging.WARNING: "<4>", logging.INFO: "<6>"}


class _Formatter(logging.Formatter):
    """One line; under journald with the priority prefix that it understands."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        line = " ".join(super().format(record).split("\n"))
        return _PRIORITY.get(record.levelno, "<5>") + line if self._journal else line


def configure() -> None:
    """Send the agent's log to stderr."""
    # No thread, process or task look-ups for fields that no line shows.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


class Troubles:
    """Says a lasting trouble once, and once when it is over."""

    def __init__(self, log: logging.Logger = LOG) -> None:
        self._log = log
        self.open: dict[str, str] = {}

    def begin(self, key: str, text: str) -> None:
        """Tell of trouble ``key``, unless this very text was the last told of it."""
        if self.open.get(key) != text:
            self.open[key] = text
            self._log.warning("%s", text)

    def end(self, key: str, text: str) -> None:
        """Tell that trouble ``key`` is over, if it was on."""
        if self.open.pop(key, None) is not None:
            self._log.info("%s", text)
