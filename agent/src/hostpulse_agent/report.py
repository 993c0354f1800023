"""Output of `status` and `spool`: reads the spool and the status file while the agent runs."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from hostpulse_agent import spool_db, status
from hostpulse_agent.errors import AgentError

if TYPE_CHECKING:
    from hostpulse_agent.config import AgentConfig

_COUNTS = """
SELECT stream, count(*), min(seq), max(seq), min(time_ms), max(time_ms), sum(length(packed))
FROM sample GROUP BY stream ORDER BY min(id)
"""
_NAMES = ("stream", "samples", "first_seq", "last_seq", "oldest_ms", "newest_ms", "bytes")


def spool(path: str) -> dict[str, Any]:
    """Return the spool at ``path``: counts and ranges per stream, and its state.

    Raises ``AgentError`` when it cannot be read.
    """
    if not os.path.exists(path):
        return {"path": path, "streams": [], "state": {}}
    try:
        with contextlib.closing(spool_db.read_only(path)) as database:
            rows = database.execute(_COUNTS).fetchall()
            state = database.execute("SELECT value FROM state").fetchone()
    except sqlite3.Error as error:
        raise AgentError(
            f"{path} cannot be read ({error}): run as root or as the agent's user"
        ) from None
    streams = [dict(zip(_NAMES, row)) for row in rows]
    return {"path": path, "streams": streams, "state": json.loads(state[0]) if state else {}}


def overview(config: AgentConfig) -> dict[str, Any]:
    """Return what `status` shows; times in epoch milliseconds."""
    content = spool(config.spool.path)
    running = status.read(status.path_beside(config.spool.path))
    samples = sum(stream["samples"] for stream in content["streams"])
    oldest = min((stream["oldest_ms"] for stream in content["streams"]), default=None)
    room = max(0, config.spool.max_samples - samples) * config.sampling.interval / 3600
    state = content["state"]
    return {
        "server_id": config.server_id,
        "running": _is_running(running.get("pid")),
        "last_sample": running.get("sample"),
        "last_acknowledged": running.get("acknowledged"),
        "server_url": running.get("url"),
        "clock_offset_ms": running.get("clock_offset_ms"),
        "missed_ticks": running.get("missed_ticks"),
        "troubles": running.get("troubles", []),
        "spool": {
            "samples": samples,
            "bytes": sum(stream["bytes"] for stream in content["streams"]),
            "oldest_seconds": None if oldest is None else round(time.time() - oldest / 1000, 1),
            "hours_of_room": round(room, 2),
            "dropped": state.get("dropped", {}),
            "dropped_total": state.get("dropped_total", 0),
            "stream": state.get("stream"),
        },
    }


def _is_running(pid: Any) -> bool:
    return isinstance(pid, int) and os.path.exists(f"/proc/{pid}")


def _ago(ms: float | None) -> str:
    return "never" if ms is None else f"{max(0.0, time.time() - ms / 1000):.0f} s ago"


def status_lines(overview: dict[str, Any]) -> list[str]:
    """Return ``overview`` as lines for people."""
    spooled = overview["spool"]
    sample, acknowledged = overview["last_sample"] or {}, overview["last_acknowledged"] or {}
    drops = ", ".join(f"{reason} {count}" for reason, count in sorted(spooled["dropped"].items()))
    age = "-" if spooled["oldest_seconds"] is None else f"{spooled['oldest_seconds']:.0f} s"
    held = f"{spooled['samples']} samples, {spooled['bytes']} bytes, oldest {age}"
    return [
        f"server id          {overview['server_id']}",
        f"running            {'yes' if overview['running'] else 'no'}",
        f"last sample        {_ago(sample.get('time'))} (seq {sample.get('seq', '-')})",
        f"last acknowledged  {_ago(acknowledged.get('at'))} (seq {acknowledged.get('seq') or '-'})",
        f"server             {overview['server_url'] or '-'}",
        f"spool              {held}, room for {spooled['hours_of_room']} h",
        f"dropped            {drops or 'none'} (ever: {spooled['dropped_total']})",
        *(f"trouble            {text}" for text in overview["troubles"]),
    ]


def spool_lines(content: dict[str, Any]) -> list[str]:
    """Return the spool's content as lines for people."""
    lines = [f"{content['path']}: {sum(s['samples'] for s in content['streams'])} samples"]
    lines.extend(
        f"stream {s['stream']}: {s['samples']} samples, seq {s['first_seq']} to {s['last_seq']}, "
        f"{_ago(s['oldest_ms'])} to {_ago(s['newest_ms'])}, {s['bytes']} bytes"
        for s in content["streams"]
    )
    return lines
