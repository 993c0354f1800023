"""Logs: one JSON object a line on stderr, without secrets; journald keeps them."""

from __future__ import annotations

import datetime as dt
import logging
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from types import TracebackType

# what the request being handled is called in its answer's X-Request-ID
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_FIELDS = "%(levelname)s %(name)s %(message)s"


class Formatter(JsonFormatter):
    """Gives every line time, level, logger and request, and takes secrets out last."""

    def __init__(self) -> None:
        super().__init__(_FIELDS, rename_fields={"levelname": "level", "name": "logger"})

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Put the time first."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        log_data["time"] = when.isoformat(timespec="milliseconds")
        super().add_fields(log_data, record, message_dict)
        current = request_id.get()
        if current is not None:
            log_data.setdefault("request_id", current)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Take secrets out of everything, traces and extras included."""
        cleaned: dict[str, Any] = redact.value(super().process_log_record(log_data))
        return cleaned


def setup(level: str = "INFO", stream: TextIO | None = None) -> logging.Handler:
    """Send all logs of this process to ``stream`` (default stderr) and return the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    return handler


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("hostpulse_server").critical(
        "unexpected error", exc_info=(kind, error, trace)
    )


def _log_uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None:
        _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)
