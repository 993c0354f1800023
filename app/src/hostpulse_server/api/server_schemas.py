"""What the servers API takes in queries and gives back; ``openapi.json`` is made from it."""

from __future__ import annotations

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


class NewServerView(ServerSchema):
    """A server just added; ``key`` is shown this once."""

    key = fields.String(allow_none=True, metadata={"description": "null if `keys` was given"})


class NewKeyView(Schema):
    """A key just made; ``key`` is shown this once."""

    id = fields.String()
    key = fields.String()
