"""The wire format: samples and their envelope (schema 1), encoded once and compressed."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_agent.collectors.base import Point
    from hostpulse_agent.stream import SampleId

SCHEMA = 1
GZIP = 31  # zlib window bits: 15, with a gzip header

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Reading(NamedTuple):
    """Result of one tick; times in milliseconds, ``processes`` as the wire has them."""

    mono_ms: int
    interval_ms: int
    points: list[Point]
    processes: list[dict[str, Any]]


class Header(NamedTuple):
    """Sender of an envelope: constant over a run of the agent."""

    server_id: str
    boot_id: str
    machine: str | None


def sample(sample_id: SampleId, reading: Reading) -> dict[str, Any]:
    """Return a sample as the wire has it."""
    body: dict[str, Any] = {
        "seq": sample_id.seq,
        "time": sample_id.time_ms,
        "mono_ms": reading.mono_ms,
        "interval_ms": reading.interval_ms,
        "dropped": sample_id.dropped,
        "points": [point._asdict() for point in reading.points],
    }
    if reading.processes:
        body["processes"] = reading.processes
    return body


def encode(value: Any) -> bytes:
    """Return compact JSON; NaN and infinity raise ``ValueError``."""
    return _encode(value).encode()


def compress(raw: bytes) -> bytes:
    """Return ``raw`` as gzip."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    return deflate.compress(raw) + deflate.flush()


def decompress(packed: bytes) -> bytes:
    """Return what ``compress`` was given; raise ``zlib.error`` on anything else."""
    return zlib.decompress(packed, GZIP)


def envelope(
    header: Header, stream: str, sent_ms: int, extra: dict[str, Any], packed: Iterable[bytes]
) -> bytes:
    """Return a gzip body with the samples ``packed`` (each gzip), in order.

    ``extra`` holds ``facts``, ``events`` or ``ext``. The samples pass through one by one,
    so a batch is never held inflated as a whole.
    """
    agent = {"version": __version__, "stream": stream}
    agent.update({"boot_id": header.boot_id} if header.boot_id else {})
    agent.update({"machine": header.machine} if header.machine else {})
    head = {"schema": SCHEMA, "server_id": header.server_id, "sent_at": sent_ms, "agent": agent}
    deflate = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    parts = [deflate.compress(encode({**head, **extra})[:-1] + b',"samples":[')]
    for position, item in enumerate(packed):
        parts.append(deflate.compress((b"," if position else b"") + decompress(item)))
    parts.extend((deflate.compress(b"]}"), deflate.flush()))
    return b"".join(parts)
