"""What agents send, schema 1. The server owns it: docs/api.md and the OpenAPI document follow."""

from __future__ import annotations

from hostpulse_server.wire.body import inflate, parse
from hostpulse_server.wire.envelope import Envelope, EnvelopeSchema, read_envelope
from hostpulse_server.wire.samples import Rejection, reject_by_clock

__all__ = [
    "Envelope",
    "EnvelopeSchema",
    "Rejection",
    "inflate",
    "parse",
    "read_envelope",
    "reject_by_clock",
]
