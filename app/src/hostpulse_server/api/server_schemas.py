"""What the servers API takes in queries and gives back; ``openapi.json`` is made from it."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from hostpulse_server.registry.identity import ROLES
from hostpulse_server.registry.schemas import SERVER_ID_PATTERN
from hostpulse_server.values.server_status import STATUSES

MAX_PAGE = 1000


class ListQuery(Schema):
    """Filters and paging of the list; the view reads ``label.NAME=VALUE`` itself."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_PAGE))
    cursor = fields.String(
        validate=validate.Regexp(SERVER_ID_PATTERN, error="is not a cursor of this list"),
        metadata={"description": "`next` of the page before"},
    )


class ServerSchema(Schema):
    """A server; times are epoch milliseconds, null is not known yet."""

    id = fields.String()
    name = fields.String()
    address = fields.String(allow_none=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    allow_from = fields.List(fields.String())
    status = fields.String(validate=validate.OneOf(STATUSES))
    last_seen = fields.Integer(
        allow_none=True, metadata={"description": "when its newest sample arrived"}
    )
    agent_version = fields.String(allow_none=True)
    clock_offset_ms = fields.Integer(allow_none=True)
    completeness = fields.Float(
        allow_none=True,
        metadata={"description": "stored / expected samples within raw retention, 0-100"},
    )
    facts = fields.Dict(allow_none=True)


class ServerPage(Schema):
    """One page, in the order of ids."""

    servers = fields.List(fields.Nested(ServerSchema))
    next = fields.String(allow_none=True, metadata={"description": "cursor of the next page"})


class LedgerStream(Schema):
    """What is stored of one stream of sequence numbers, what is not, and why."""

    stream = fields.String()
    stored = fields.Integer()
    missing = fields.Integer()
    dropped = fields.Dict(keys=fields.String(), values=fields.Integer())
    ranges = fields.List(
        fields.List(fields.Integer()),
        metadata={"description": "[lowest seq, highest seq, time of lowest, time of highest]"},
    )


class KeySchema(Schema):
    """A key without its text."""

    id = fields.String()
    role = fields.String(validate=validate.OneOf(ROLES))
    server_id = fields.String(allow_none=True)
    created = fields.Integer()
    revoked = fields.Integer(allow_none=True)


class ServerDetail(ServerSchema):
    """A server with its live keys and its completeness ledger."""

    keys = fields.List(fields.Nested(KeySchema))
    ledger = fields.List(fields.Nested(LedgerStream))


def _counts(text: str) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": text}
    )


def _ranges(text: str) -> fields.List[Any]:
    return fields.List(fields.List(fields.Integer()), metadata={"description": text})


class QuarantinedPoints(Schema):
    """The points that the store refused, by reason."""

    points = fields.Integer()
    reasons = _counts("points a reason")


class StoredSamples(Schema):
    """The samples in the store."""

    count = fields.Integer()
    ranges = _ranges("[lowest seq, highest seq, time of lowest, time of highest]")


class RefusedSamples(Schema):
    """The samples that the server refused, and the agent gave up."""

    count = fields.Integer()


class DroppedSamples(Schema):
    """The samples that the agent gave up; reasons count since the stream began."""

    count = fields.Integer()
    reasons = _counts("samples a reason")


class MissingSamples(Schema):
    """The samples that nobody has accounted for."""

    count = fields.Integer()
    ranges = _ranges("[lowest, highest] of all that is not stored, whatever the reason")


class EvaluatedSamples(Schema):
    """The samples that the alert engine has judged, and those that it has not."""

    count = fields.Integer()
    ranges = _ranges("[lowest, highest]")
    left_out = _counts(
        "samples that came and are not judged: waiting (behind a gap), late (its gap was passed "
        "over), stream_left, conflict, renumbered"
    )
    passed_over = _ranges("[lowest, highest] of gaps that did not close in time")


class StreamCompleteness(Schema):
    """One stream of sequence numbers: taken = stored + refused + dropped + missing."""

    stream = fields.String()
    taken = fields.Integer()
    stored = fields.Nested(StoredSamples)
    refused = fields.Nested(RefusedSamples)
    dropped = fields.Nested(DroppedSamples)
    missing = fields.Nested(MissingSamples)
    evaluated = fields.Nested(EvaluatedSamples)


class ServerCompleteness(Schema):
    """What became of a server's samples within raw retention, the newest stream last."""

    server_id = fields.String()
    completeness = fields.Float(allow_none=True, metadata={"description": "stored, 0-100"})
    quarantined = fields.Nested(QuarantinedPoints)
    streams = fields.List(fields.Nested(StreamCompleteness))


class NewServerView(ServerSchema):
    """A server just added; ``key`` is shown this once."""

    key = fields.String(allow_none=True, metadata={"description": "null if `keys` was given"})


class NewKeyView(Schema):
    """A key just made; ``key`` is shown this once."""

    id = fields.String()
    key = fields.String()
