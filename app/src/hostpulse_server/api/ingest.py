"""POST /api/v1/metrics: authenticate, limit, judge, append, and only then answer 200."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from flask import Response, current_app, request
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError, fields

from hostpulse_server import wire
from hostpulse_server.api import limits, rejection_log, telemetry
from hostpulse_server.api.auth import identify
from hostpulse_server.api.services import services
from hostpulse_server.errors import (
    HostpulseError,
    IncompleteBodyError,
    PermissionDeniedError,
    TooLargeError,
    UnsupportedMediaError,
)
from hostpulse_server.journal.records import SAMPLES, SamplesRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream

    from hostpulse_server.api.services import Services
    from hostpulse_server.registry import Identity
    from hostpulse_server.wire import Envelope

MAX_INFLATION = 8
MAX_LISTED = 1000

blueprint = Blueprint("ingest", __name__, url_prefix="/api/v1", description="What agents send.")


class RejectionSchema(Schema):
    """A sample or point that was not kept."""

    seq = fields.Integer(allow_none=True)
    sample = fields.Integer(metadata={"description": "Index, for a sample without a usable seq."})
    point = fields.Integer(metadata={"description": "Index in the sample; absent: all of it."})
    field = fields.String()
    reason = fields.String(required=True)


class AcceptedSchema(Schema):
    """The verdict on a request."""

    accepted = fields.Integer(
        required=True, metadata={"description": "Samples kept whole or in part."}
    )
    rejected = fields.List(fields.Nested(RejectionSchema), required=True)
    rejected_omitted = fields.Integer(
        metadata={"description": f"Rejections beyond the {MAX_LISTED} listed."}
    )
    server_time = fields.Integer(required=True, metadata={"description": "Epoch ms, UTC."})


@blueprint.route("/metrics", methods=["POST"])
@blueprint.doc(
    summary="Send samples",
    description="Answered 200 only once what is kept is on disk. Resending is harmless. "
    "A bad point costs that point, a bad sample that sample.",
    security=[{"key": []}, {"apiKey": []}],
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": wire.EnvelopeSchema}},
    },
    responses={
        200: {"description": "Kept.", "content": {"application/json": {"schema": AcceptedSchema}}}
    },
)
def post_metrics() -> Response:
    """Take samples in."""
    try:
        return _take()
    except (HostpulseError, ValidationError) as error:
        rejection_log.note_error(error)
        raise


def _take() -> Response:
    parts = services()
    identity = identify()
    identity.require("agent")
    limits.count_request(identity.key_id)
    sent, packed = _read_body(parts.config.api.max_body)
    plain = wire.inflate(sent, MAX_INFLATION * parts.config.api.max_body) if packed else sent
    envelope = wire.read_envelope(wire.parse(plain))
    if envelope.server_id != identity.server_id:
        raise PermissionDeniedError(
            f"this key writes server {identity.server_id}, not {envelope.server_id}"
        )
    return _answer(parts, identity, envelope, sent, packed=packed)


def _answer(
    parts: Services, identity: Identity, envelope: Envelope, sent: bytes, *, packed: bool
) -> Response:
    machine = envelope.agent.get("machine")
    if machine is not None:
        parts.registry.bind_machine(envelope.server_id, machine, identity.key_id)
    now_ms = parts.clock.now_ms()
    retention_ms = int(parts.config.retention.raw * 1000)
    verdict = wire.reject_by_clock(envelope.verdict, now_ms, retention_ms)
    if verdict.kept or envelope.events or envelope.facts is not None:
        if verdict.rejected:
            record = SamplesRecord(
                server_id=envelope.server_id,
                received_ms=now_ms,
                agent=envelope.agent,
                samples=verdict.kept,
                facts=envelope.facts,
                events=envelope.events,
                ext=envelope.ext,
            )
            parts.journal.append(record.encode(), SAMPLES, now_ms)
        else:
            # accepted whole: what was sent says the same, and may be compressed already
            parts.journal.append(sent, SAMPLES, now_ms, packed=packed)
        parts.registry.record_facts(
            envelope.server_id,
            facts=envelope.facts,
            agent_version=envelope.agent["version"],
            clock_offset_ms=None if envelope.sent_at is None else envelope.sent_at - now_ms,
            interval_ms=verdict.kept[-1]["interval_ms"] if verdict.kept else None,
        )
    elif verdict.rejected:
        # nothing in it is evidence that this host is up
        rejection_log.note(
            envelope.server_id, f"all its samples are rejected: {verdict.rejected[0].reason}"
        )
    counted = cast("telemetry.Telemetry", current_app.extensions[telemetry.EXTENSION])
    counted.samples.add(len(verdict.kept))
    if verdict.rejected:
        counted.rejected.add(len(verdict.rejected))
    answer: dict[str, Any] = {
        "accepted": len(verdict.kept),
        "rejected": [entry.document() for entry in verdict.rejected[:MAX_LISTED]],
        "server_time": now_ms,
    }
    if len(verdict.rejected) > MAX_LISTED:
        answer["rejected_omitted"] = len(verdict.rejected) - MAX_LISTED
    return Response(json.dumps(answer), content_type="application/json")


def _read_body(limit: int) -> tuple[bytes, bool]:
    """Return the body as sent, of ``limit`` bytes at most, and whether it is gzip."""
    environ = request.environ  # its own look-ups and stream cost more than all of this
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaError("The body must be application/json; set Content-Type.")
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding not in {"gzip", "identity"}:
        raise UnsupportedMediaError("Content-Encoding must be gzip or absent.")
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdecimal() and int(length) <= limit:
        body: bytes = _read(environ["wsgi.input"], int(length))
    else:
        # one more than allowed, for a body that comes in chunks and does not give its length
        body = b"" if length else request.stream.read(limit + 1)
        if length or len(body) > limit:
            raise TooLargeError(f"The body has more than {limit} bytes.")
    return body, encoding == "gzip"


def _read(stream: InputStream, length: int) -> bytes:
    """Return a body of that length; a shorter one is the network's fault, to be sent again."""
    try:
        body = stream.read(length)
    except OSError:
        body = b""
    if len(body) < length:
        raise IncompleteBodyError(f"Of {length} bytes {len(body)} came; send the request again.")
    return body
